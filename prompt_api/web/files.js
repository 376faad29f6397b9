/** The ways pictures get onto the page: chosen, dropped, pasted, one by one or in folders. */

/** Files that systems put into folders, and that nobody means. */
const CLUTTER = /^(\.|thumbs\.db$|desktop\.ini$)/i;

const folders = new WeakMap();

/** The path of the folder with which a file was opened, such as "trip/day 1". "" if it was opened by itself. */
export function folderOf(file) {
  return folders.get(file) ?? (file.webkitRelativePath ?? "").split("/").slice(0, -1).join("/");
}

/**
 * @param {(files: File[]) => void} onFiles called with at least one file; those of a folder come in the order of their
 *   paths, with numbers in them in the order of their values
 * @param {(error: unknown) => void} onProblem called if a folder cannot be read
 */
export function listenToFiles(onFiles, onProblem) {
  const find = (id) => document.getElementById(id);
  const give = (list) => list.length > 0 && onFiles([...list]);
  const input = find("file");
  for (const id of ["choose", "add"]) find(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    give(input.files);
    // Without this, choosing the same file again does not fire `change`.
    input.value = "";
  });
  const folder = find("folder");
  folder.addEventListener("change", () => {
    give(inOrder([...folder.files].filter(isMeant)));
    folder.value = "";
  });
  for (const id of ["choose-folder", "add-folder"]) {
    find(id).addEventListener("click", () => chooseFolder(folder).then(give).catch(onProblem));
  }
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
    // The transfer is empty after the event, so its entries are taken now.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (entries.some((entry) => entry.isDirectory)) filesOf(entries).then(give).catch(onProblem);
    else give(event.dataTransfer.files);
  });
}

/** Asks for a folder. Resolves with no files if the person cancels, or if the input reports them by itself. */
async function chooseFolder(input) {
  if (!window.showDirectoryPicker) {
    input.click();
    return [];
  }
  try {
    const handle = await window.showDirectoryPicker();
    return inOrder(await filesIn(handle, handle.name));
  } catch (error) {
    if (error.name === "AbortError") return [];
    throw error;
  }
}

/** The files in a folder and the folders inside. @param {FileSystemDirectoryHandle} handle @returns {Promise<File[]>} */
async function filesIn(handle, path) {
  const files = [];
  for await (const child of handle.values()) {
    if (CLUTTER.test(child.name)) continue;
    if (child.kind === "directory") files.push(...(await filesIn(child, `${path}/${child.name}`)));
    else files.push(within(await child.getFile(), path));
  }
  return files;
}

/** The files among dropped entries and in their folders. @param {FileSystemEntry[]} entries @returns {Promise<File[]>} */
async function filesOf(entries) {
  const files = [];
  for (const entry of entries) {
    if (CLUTTER.test(entry.name)) continue;
    if (entry.isDirectory) files.push(...(await filesOf(await childrenOf(entry))));
    else files.push(within(await asked((...on) => entry.file(...on)), entry.fullPath.split("/").slice(1, -1).join("/")));
  }
  return inOrder(files);
}

async function childrenOf(directory) {
  const reader = directory.createReader();
  const children = [];
  for (;;) {
    // Each call gives at most a hundred.
    const some = await asked((...on) => reader.readEntries(...on));
    if (some.length === 0) return children;
    children.push(...some);
  }
}

function asked(call) {
  return new Promise((resolve, reject) => call(resolve, reject));
}

function within(file, folder) {
  folders.set(file, folder);
  return file;
}

function isMeant({ name }) {
  return !CLUTTER.test(name);
}

/** Sorts files by path, so that "10.jpg" comes after "9.jpg". */
export function inOrder(files) {
  const { compare } = new Intl.Collator("en", { numeric: true });
  return files.sort((a, b) => compare(`${folderOf(a)}/${a.name}`, `${folderOf(b)}/${b.name}`));
}
