// A page of one word: the script adds buttons for copying, and leads back to the view before.
"use strict";

(() => {
  for (const place of document.querySelectorAll("[data-copyable]")) {
    const text = place.getAttribute("data-copyable");
    place.after(tireg.copyButton(text, place.getAttribute("data-what") || "text"));
  }
  const asked = new URLSearchParams(tireg.remembered().slice(1));
  asked.delete("view");
  const back = document.querySelector(".back a");
  if (asked.size) back.setAttribute("href", `../index.html#${asked}`);
  const compare = document.getElementById("compare-with");
  const id = compare.getAttribute("data-id");
  const picked = (asked.get("pick") || "").split(",").filter((other) => other && other !== id);
  asked.set("pick", [...picked.slice(-3), id].join(","));
  compare.setAttribute("href", `../index.html#${asked}`);
})();
