// Draws the map and answers to the pointer. All texts are written as text, never as markup.
"use strict";

const data = JSON.parse(document.getElementById("map-data").textContent);
const plane = document.getElementById("map");
const tip = document.getElementById("tip");
const find = document.getElementById("find");
const legend = [...document.querySelectorAll(".legend button")];

const SHAPES = [
  "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z", // circle
  "M-4.4 -4.4h8.8v8.8h-8.8Z", // square
  "M0 -5.6L5.2 4.2H-5.2Z", // triangle
  "M0 -6L5.2 0L0 6L-5.2 0Z", // diamond
];
const REACH = 24; // from the pointer to what it points at

const shapeOf = (number) => SHAPES[number < 0 ? 0 : number % SHAPES.length];
const classOf = (number) => (number < 0 ? "rest" : `c${number % data.colours}`);

function make(name, attributes, parent) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
}

// One <g> for each group, those without a colour below the others.
const [width, height] = data.size;
plane.setAttribute("viewBox", `0 0 ${width} ${height}`);
const layers = [make("g", {}, plane), make("g", {}, plane)];
const held = new Map();
const dots = data.ids.map((id, row) => {
  const [group, colour] = [data.group[row], data.colour[row]];
  if (!held.has(group)) held.set(group, make("g", {}, layers[colour < 0 ? 0 : 1]));
  return make("path", { d: shapeOf(colour), class: `dot ${classOf(colour)}` }, held.get(group));
});
const axes = ["across", "up"].map((name) => document.getElementById(name));
const size = dots.length > 1500 ? 0.62 : dots.length > 300 ? 0.8 : 1;

let points = [];
function lay() {
  // On a narrow screen a dot is smaller, but not as much as the drawing is.
  const scale = size * Math.sqrt(Math.max(width / (plane.clientWidth || width), 1));
  dots.forEach((dot, row) => dot.setAttribute("transform", `translate(${points[row]}) scale(${scale.toFixed(2)})`));
}
function show(number) {
  const shown = data.projections[number];
  points = shown.points;
  lay();
  axes.forEach((axis, at) => { axis.textContent = at ? `↑ ${shown.axes[at]}` : `${shown.axes[at]} →`; });
  document.getElementById("beyond").textContent = shown.beyond
    ? `${shown.beyond.toLocaleString("en")} lie farther off than the edge at which they are drawn.`
    : "";
  choices.forEach((choice, at) => choice.setAttribute("aria-pressed", at === number));
}
// One alone is no choice.
const offered = data.projections.length > 1 ? data.projections : [];
const choices = offered.map(({ name }, number) => {
  const choice = document.createElement("button");
  choice.type = "button";
  choice.textContent = name;
  choice.addEventListener("click", () => show(number));
  return document.getElementById("projections").appendChild(choice);
});
show(data.projections.length - 1);
addEventListener("resize", lay);

for (const button of legend) {
  button.querySelector("path").setAttribute("d", shapeOf(Number(button.dataset.colour)));
  button.addEventListener("click", () => {
    const was = button.getAttribute("aria-pressed") === "true";
    legend.forEach((other) => other.setAttribute("aria-pressed", "false"));
    button.setAttribute("aria-pressed", String(!was));
    find.value = "";
    search();
  });
}

// What is lit: what was searched for or chosen in the legend, and else the group pointed at.
let chosen = null;
function search() {
  const text = find.value.trim().toLowerCase();
  const pressed = legend.find((button) => button.getAttribute("aria-pressed") === "true");
  const has = (value) => value.toLowerCase().includes(text);
  if (text) {
    chosen = (row) => has(data.ids[row]) || has(data.groups[data.group[row]] ?? "") || has(data.descriptions[row]);
  } else if (pressed) {
    chosen = (row) => data.colour[row] === Number(pressed.dataset.colour);
  } else {
    chosen = null;
  }
  let count = 0;
  dots.forEach((dot, row) => {
    const lit = chosen !== null && chosen(row);
    dot.classList.toggle("lit", lit);
    count += lit;
  });
  plane.classList.toggle("focus", chosen !== null);
  document.getElementById("found").textContent = chosen ? `${count.toLocaleString("en")} of ${dots.length.toLocaleString("en")}` : "";
}
find.addEventListener("input", () => {
  legend.forEach((button) => button.setAttribute("aria-pressed", "false"));
  search();
});

let near = -1;
function point(row) {
  if (row === near) return;
  if (near >= 0) {
    dots[near].classList.remove("near");
    held.get(data.group[near]).classList.remove("lit");
  }
  near = row;
  tip.hidden = row < 0;
  if (chosen === null) plane.classList.toggle("focus", row >= 0);
  if (row < 0) return;
  dots[row].classList.add("near");
  if (chosen === null) held.get(data.group[row]).classList.add("lit");
  const file = data.files[data.file[row]];
  const group = data.groups[data.group[row]];
  const lines = [data.descriptions[row], `${data.lengths[row].toLocaleString("en")} residues`, file];
  const isSaid = [data.descriptions[row], file].some((line) => line.includes(group));
  if (group !== undefined && !isSaid) lines.unshift(group);
  tip.replaceChildren(document.createElement("b"), ...lines.filter(Boolean).map((line) => {
    const element = document.createElement("span");
    element.textContent = line;
    return element;
  }));
  tip.firstChild.textContent = data.ids[row];
  const unit = plane.clientWidth / width;
  const [x, y] = points[row].map((value) => value * unit);
  tip.style.left = `${Math.max(Math.min(x + 14, plane.clientWidth - tip.offsetWidth), 0)}px`;
  tip.style.top = `${y + 14 + tip.offsetHeight > plane.clientHeight ? y - 14 - tip.offsetHeight : y + 14}px`;
}

plane.addEventListener("pointermove", (event) => {
  const box = plane.getBoundingClientRect();
  const x = ((event.clientX - box.left) * width) / box.width;
  const y = ((event.clientY - box.top) * height) / box.height;
  let [best, distance] = [-1, REACH * REACH];
  points.forEach(([px, py], row) => {
    const apart = (px - x) ** 2 + (py - y) ** 2;
    if (apart < distance) [best, distance] = [row, apart];
  });
  point(best);
});
plane.addEventListener("pointerleave", () => point(-1));
