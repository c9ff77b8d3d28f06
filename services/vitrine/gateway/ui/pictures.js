// Pictures that a person picks, drops or pastes. They live as long as the tab: an address cannot carry them.

import { Problem } from "./api.js";
import { find } from "./dom.js";

const FORMATS = /^image\/(jpeg|png|webp|gif|bmp|tiff|x-ms-bmp)$/;

// By a number that the history entry keeps: { file, url, dataUrl }.
export const kept = new Map();

export function keep(file) {
  const key = kept.size;
  kept.set(key, { file, url: URL.createObjectURL(file) });
  return key;
}

// What the API takes. The type is not told: the service goes by the bytes.
export function dataUrlOf(key) {
  const picture = kept.get(key);
  picture.dataUrl ??= new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.replace(/^data:[^;,]*/, "data:image/any")));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(picture.file);
  });
  return picture.dataUrl;
}

// Told here because the upload would be for nothing; the service checks again, by the bytes.
export function problemWith(file, maxBytes) {
  if (file.type && !FORMATS.test(file.type)) {
    const detail = `${file.name} is ${file.type}, not a JPEG, PNG, WebP, GIF, BMP or TIFF picture.`;
    return new Problem({ status: 415, title: "The image format is not supported", detail, code: "image_format_unsupported" });
  }
  if (file.size > maxBytes) {
    const detail = `${file.name} has ${file.size} bytes; at most ${maxBytes} are accepted.`;
    return new Problem({ status: 413, title: "The image has too many bytes", detail, code: "image_too_large" });
  }
  return null;
}

// Calls `use(file)` for every picture that comes in, by whatever way.
export function listen(use) {
  find("pick").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) use(file);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    use(file);
  });
  listenToDrops(use);
}

function listenToDrops(use) {
  const drop = find("drop");
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const over = (change) => (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    depth = Math.max(0, depth + change);
    drop.hidden = depth === 0;
  };
  document.addEventListener("dragenter", over(+1));
  document.addEventListener("dragleave", over(-1));
  document.addEventListener("dragover", (event) => carriesFile(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    depth = 0;
    drop.hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) use(file);
  });
}
