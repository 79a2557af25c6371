// Replaces the content of the page with that of each new window. Without this script the page works, too: the browser loads it again.
"use strict";
const content = document.querySelector("main");
const status = document.getElementById("status");
const pause = document.getElementById("pause");
let isPaused = false;
let next = null;

function show(html) {
  const scrolled = [...content.querySelectorAll(".scroll")].map((part) => part.scrollLeft);
  content.innerHTML = html;
  content.querySelectorAll(".scroll").forEach((part, index) => (part.scrollLeft = scrolled[index] ?? 0));
}

function report(text, className) {
  status.textContent = text;
  status.className = className;
}

const events = new EventSource("/events" + location.search);
events.onopen = () => report("live", "live");
events.onerror = () => report("not connected: shows the last window", "stale");
events.addEventListener("window", (event) => {
  if (isPaused) {
    next = event.data;
  } else {
    show(event.data);
  }
});

pause.hidden = false;
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.textContent = isPaused ? "Continue" : "Pause";
  if (!isPaused && next !== null) {
    show(next);
    next = null;
  }
});
