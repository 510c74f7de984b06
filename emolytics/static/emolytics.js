// An enhancement only: every page works without this file.
"use strict";

const RELEASE_AFTER = 10_000; // ms; a form whose answer never came can be sent again

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
document.addEventListener("submit", sendOnce);
document.addEventListener("securitypolicyviolation", tellBlocked);
// "Back" may bring the page as it was left.
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach(release));
