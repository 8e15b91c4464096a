// The search: all words must occur in an entry; ids come first. Everything else on the page works without a script.
const box = document.getElementById("search"), list = document.getElementById("found");
const places = [...document.querySelectorAll("[data-words]")].map(
  (place) => ({ id: place.id, words: place.dataset.words, small: place.dataset.words.toLowerCase() }));
box.hidden = false;

function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rank = (place) => (place.id.toLowerCase() === words[0] ? 0 : place.id.toLowerCase().startsWith(words[0]) ? 1 : 2);
  const hits = words.length ? places.filter((place) => words.every((word) => place.small.includes(word))) : [];
  hits.sort((a, b) => rank(a) - rank(b));
  list.replaceChildren(...hits.slice(0, 40).map((place) => {
    const item = document.createElement("li"), link = document.createElement("a"), text = document.createElement("span");
    link.href = "#" + place.id;
    link.textContent = place.id;
    text.textContent = " " + place.words.slice(place.words.indexOf(" ") + 1, 140);
    item.append(link, text);
    return item;
  }));
  if (words.length && !hits.length) list.append(Object.assign(document.createElement("li"), { textContent: "nothing found" }));
}

function close() {
  list.replaceChildren();
}

box.addEventListener("input", search);
box.addEventListener("focus", search);
box.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { box.value = ""; close(); }
  if (event.key === "Enter") list.querySelector("a")?.click();
});
list.addEventListener("click", (event) => { if (event.target.closest("a")) close(); });
document.addEventListener("click", (event) => { if (!event.target.closest("header")) close(); });
