"use strict";
const said = document.getElementById("said");
async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const selection = getSelection();
  try {
    await navigator.clipboard.writeText(source.textContent);
    said.textContent = "Copied.";
    button.dataset.done = "";
    setTimeout(() => delete button.dataset.done, 1500);
  } catch {
    selection.selectAllChildren(source);
    said.textContent = "Selected; press Ctrl+C to copy.";
  }
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("main details:not(.chart details)")) details.open = true;
});
