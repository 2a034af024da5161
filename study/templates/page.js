// Light or dark, figures as large as the page allows, and tables that sort by the column that is clicked.
(function () {
  "use strict";
  var root = document.documentElement;
  function remembered(value) {
    try {
      if (value === undefined) { return localStorage.getItem("theme"); }
      localStorage.setItem("theme", value);
    } catch (refused) { /* a page of a folder may not keep anything */ }
    return null;
  }
  if (remembered()) { root.dataset.theme = remembered(); }

  function dark() {
    var asked = root.dataset.theme;
    return asked ? asked === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function numberOf(text) {
    var found = text.replace(/\u2212/g, "-").replace(/,/g, "").match(/^[^\d.+-]{0,2}([-+]?(?:\d+\.?\d*|\.\d+))/);
    return found ? parseFloat(found[1]) : NaN;
  }

  function sort(head) {
    var table = head.closest("table"), body = table.tBodies[0];
    var column = Array.prototype.indexOf.call(head.parentNode.children, head);
    var down = head.getAttribute("aria-sort") === "ascending";
    Array.prototype.forEach.call(head.parentNode.children, function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    var rows = Array.prototype.map.call(body.rows, function (row, place) {
      var text = row.cells[column].textContent.trim();
      return { row: row, text: text, value: numberOf(text), place: place };
    });
    var filled = rows.filter(function (one) { return one.text !== ""; });
    var numbers = filled.length && filled.every(function (one) { return !isNaN(one.value); });
    rows.sort(function (a, b) {
      if ((a.text === "") !== (b.text === "")) { return a.text === "" ? 1 : -1; }
      var order = numbers ? a.value - b.value : a.text.localeCompare(b.text);
      return (down ? -order : order) || a.place - b.place;
    });
    rows.forEach(function (one) { body.appendChild(one.row); });
  }

  function fit() {
    document.querySelectorAll(".drawn").forEach(function (drawn) {
      var width = +drawn.dataset.width, room = drawn.closest("figure").clientWidth;
      var scale = Math.max(Math.min(1.4, room / width), width > 400 ? 0.9 : 0.6);
      drawn.style.width = width * scale + "px";
      drawn.style.height = +drawn.dataset.height * scale + "px";
      drawn.firstElementChild.style.transform = "scale(" + scale + ")";
    });
  }

  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    if (button) {
      button.addEventListener("click", function () {
        root.dataset.theme = dark() ? "light" : "dark";
        remembered(root.dataset.theme);
      });
    }
    document.querySelectorAll("table.sortable th").forEach(function (head) {
      head.tabIndex = 0;
      head.title = "sort by " + head.textContent.trim();
      head.addEventListener("click", function () { sort(head); });
      head.addEventListener("keydown", function (event) {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(head); }
      });
    });
    fit();
    document.querySelectorAll("details").forEach(function (one) { one.addEventListener("toggle", fit); });
  });
  window.addEventListener("resize", fit);
})();
