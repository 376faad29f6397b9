"""A script that records what the page asks for, and what the browser tells it of its dialogs."""

from __future__ import annotations

RECORDER = """
window.asked = []; window.closings = 0;
window.running = 0; window.mostRunning = 0; window.beforeFetch = async () => null;
const plainFetch = window.fetch;
window.fetch = async (url, options = {}) => {
  const {method = "GET", body = null, headers = {}} = options;
  const entry = {method, url: String(url), body, token: headers.Authorization ?? null, answer: null};
  window.asked.push(entry);
  window.mostRunning = Math.max(window.mostRunning, ++window.running);
  try {
    const response = (await window.beforeFetch(entry)) ?? (await plainFetch(url, options));
    const isJson = response.headers.get("Content-Type")?.includes("json");
    if (isJson) entry.answer = await response.clone().json().catch(() => null);
    return response;
  } finally {
    window.running--;
  }
};
const plainOpen = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url) {
  window.asked.push({method, url: String(url), body: null, token: null, answer: null});
  return plainOpen.apply(this, arguments);
};
document.addEventListener("close", () => { window.closings++; }, true);
"""
"""Fills `asked`: every fetch and upload of the page, with its answer, which the page gets a moment later.

A test may put a function before each fetch: `beforeFetch`. `closings` counts the dialogs whose close event has come.
"""
