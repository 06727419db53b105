/* On a phone, the cells of a row are below each other, and each shows the heading of its column. */
for (const table of document.querySelectorAll("table.docutils")) {
  const headings = [...table.querySelectorAll("thead th")].map((each) => each.textContent);
  for (const row of table.querySelectorAll("tbody tr")) {
    for (const cell of row.cells) {
      cell.dataset.heading = headings[cell.cellIndex] || "";
      cell.classList.toggle("empty", !cell.textContent.trim());
    }
  }
}
