"use strict";
// Ladders that are played and stepped, and questions that are answered. No network, no library.

const PACE_MS = 1100;

function ladder(figure) {
  const rungs = [...figure.querySelectorAll(".rung")];
  const button = (name) => figure.querySelector(`[data-do="${name}"]`);
  let shown = rungs.length, timer = null;

  function show(count) {
    shown = Math.max(0, Math.min(count, rungs.length));
    rungs.forEach((rung, i) => {
      rung.classList.toggle("later", i >= shown);
      rung.classList.toggle("now", i === shown - 1);
    });
    const now = rungs[shown - 1];
    for (const end of ["asker", "target"]) {
      const place = figure.querySelector(`[data-knows="${end}"]`);
      if (place) place.textContent = now ? now.dataset[end] : "Nothing yet.";
    }
    figure.querySelector("[data-count]").textContent = `${shown} of ${rungs.length}`;
    button("back").disabled = shown === 0;
    button("step").disabled = shown === rungs.length;
  }
  function pause() {
    clearInterval(timer);
    timer = null;
    button("play").textContent = "Play";
  }
  function play() {
    if (timer !== null) return pause();
    if (shown === rungs.length) show(0);
    button("play").textContent = "Pause";
    timer = setInterval(() => {
      show(shown + 1);
      if (shown === rungs.length) pause();
    }, PACE_MS);
  }
  const step = (by) => { pause(); show(shown + by); };
  button("play").onclick = play;
  button("step").onclick = () => step(1);
  button("back").onclick = () => step(-1);
  figure.addEventListener("keydown", (event) => {
    const keys = {
      ArrowRight: () => step(1), ArrowDown: () => step(1),
      ArrowLeft: () => step(-1), ArrowUp: () => step(-1),
      Home: () => step(-rungs.length), End: () => step(rungs.length), p: play,
    };
    if (keys[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
      keys[event.key]();
      event.preventDefault();
    }
  });
  figure.querySelectorAll(".controls, .knows").forEach((part) => { part.hidden = false; });
  show(rungs.length);
}

function questions() {
  const all = [...document.querySelectorAll(".question")];
  let right = 0, asked = 0;
  for (const question of all) {
    const told = question.querySelector(".told");
    const after = question.dataset.hides ? document.getElementById(question.dataset.hides) : null;
    told.hidden = true;
    if (after) after.hidden = true;
    const buttons = [...question.querySelectorAll(".choices button")];
    for (const button of buttons) {
      button.onclick = () => {
        asked += 1;
        const good = button.value === question.dataset.answer;
        right += good ? 1 : 0;
        for (const each of buttons) {
          each.disabled = true;
          if (each.value === question.dataset.answer) each.classList.add("right");
          else if (each === button) each.classList.add("wrong");
        }
        told.querySelector("[data-said]").textContent = good ? "Right." : `No: ${question.dataset.answer}.`;
        told.hidden = false;
        told.focus();
        if (after) after.hidden = false;
        const score = document.querySelector(".score");
        if (score) score.textContent = `${right} of ${asked} right` + (asked === all.length ? ": done." : ".");
      };
    }
    question.addEventListener("keydown", (event) => {
      const button = buttons[Number(event.key) - 1];
      if (button && !button.disabled && /^[1-9]$/.test(event.key)) button.click();
    });
  }
}

document.querySelectorAll("figure.ladder").forEach(ladder);
questions();
