// An enhancement only: every page works without this file.
"use strict";

const RELEASE_AFTER = 10_000; // ms; a form whose answer never came can be sent again
const PAUSE = 400; // ms

function addReveal(input) {
  const button = document.createElement("button");
  const verb = document.createTextNode("Show");
  const rest = document.createElement("span");
  rest.className = "unseen";
  rest.textContent = ` ${input.labels[0]?.textContent.toLowerCase() ?? "password"}`;
  button.type = "button";
  button.className = "reveal";
  button.append(verb, rest);
  const show = (shown) => {
    input.type = shown ? "text" : "password";
    verb.data = shown ? "Hide" : "Show";
  };
  button.addEventListener("click", () => show(input.type === "password"));
  // Masked again before it is sent, so that no browser keeps it among the texts it remembers.
  input.form?.addEventListener("submit", () => show(false));
  input.after(button);
}

// What the server refuses it tells better; this only says how it goes while somebody types.
function strengthOf(password, name, least) {
  let text = password.toLowerCase();
  for (const word of name.toLowerCase().split(/[^\p{L}\p{N}]+/u)) if (word.length > 2) text = text.replaceAll(word, "");
  // A character that repeats the one before it, or follows it, adds next to nothing.
  const signs = [...text].map((each) => each.codePointAt(0));
  const fresh = signs.filter((sign, at) => at === 0 || Math.abs(sign - signs[at - 1]) > 1);
  const kinds = [[/\p{Ll}/u, 26], [/\p{Lu}/u, 26], [/\d/, 10], [/[^\p{L}\d]/u, 20], [/[^\x00-\x7f]/, 60]];
  const pool = kinds.reduce((sum, [kind, many]) => sum + (kind.test(password) ? many : 0), 1);
  const bits = Math.min(fresh.length, 2 * new Set(fresh).size) * Math.log2(pool);
  if ([...password].length < least) return [1, `${[...password].length} of at least ${least} characters.`];
  if (bits < 50) return [2, "Easy to guess. Add a word or two that do not belong together."];
  return bits < 75 ? [3, "Fair."] : [4, "Strong."];
}

function addStrength(input) {
  const meter = document.createElement("meter");
  const words = document.createElement("p");
  const name = input.form?.querySelector("[autocomplete=username]")?.value ?? "";
  let pause;
  meter.max = 4;
  meter.low = 2;
  meter.high = 3.5; // "fair" is not shown as good
  meter.optimum = 4;
  meter.hidden = true;
  meter.setAttribute("aria-hidden", "true"); // the words say it
  words.className = "hint strength";
  words.setAttribute("aria-live", "polite");
  input.addEventListener("input", () => {
    const [degree, sentence] = strengthOf(input.value, name, Number(input.dataset.least));
    meter.hidden = !input.value;
    meter.value = degree;
    // Spoken when the typing pauses, not at every key.
    clearTimeout(pause);
    pause = setTimeout(() => { words.textContent = input.value ? sentence : ""; }, PAUSE);
  });
  input.closest(".control").after(meter, words);
}

function release(form) {
  delete form.dataset.sent;
  for (const button of form.querySelectorAll("button[aria-disabled]")) button.removeAttribute("aria-disabled");
}

function sendOnce(event) {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  for (const button of form.querySelectorAll("button[type=submit]")) button.setAttribute("aria-disabled", "true");
  setTimeout(release, RELEASE_AFTER, form);
}

// A browser that holds a form's redirects to the policy stays where it is, and would say nothing.
function tellBlocked(event) {
  if (event.effectiveDirective !== "form-action") return;
  const told = document.createElement("div");
  const text = document.createElement("p");
  told.className = "message message-error";
  told.setAttribute("role", "alert");
  text.textContent =
    "The browser was not let on: the other side sends it to a place that this site does not know. " +
    "Please tell the people who run this site.";
  told.append(text);
  document.querySelector("h1")?.after(told);
  document.querySelectorAll("form[data-sent]").forEach(release);
}

document.querySelectorAll("input[type=password]").forEach(addReveal);
document.querySelectorAll("input[data-least]").forEach(addStrength);
document.addEventListener("submit", sendOnce);
document.addEventListener("securitypolicyviolation", tellBlocked);
// "Back" may bring the page as it was left.
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach(release));
