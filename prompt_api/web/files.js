/** The ways a picture gets onto the page: chosen, dropped, pasted. */

/** @param {(files: File[]) => void} onFiles called with at least one file */
export function listenToFiles(onFiles) {
  const find = (id) => document.getElementById(id);
  const give = (list) => list.length > 0 && onFiles([...list]);
  const input = find("file");
  for (const id of ["choose", "add"]) find(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    give(input.files);
    // Without this, choosing the same file again does not fire `change`.
    input.value = "";
  });
  document.addEventListener("paste", (event) => give(event.clipboardData?.files ?? []));
  const veil = find("drop-veil");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    veil.hidden = !event.dataTransfer.types.includes("Files");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    veil.hidden = true;
    give(event.dataTransfer.files);
  });
}
