// No token is needed: for JSON the browser's own Origin header vouches for the page.

const part = (id) => document.getElementById(id);

async function ask(path, content) {
  const answer = await fetch(path, {
    method: content ? "POST" : "GET",
    headers: { Accept: "application/json", ...(content && { "Content-Type": "application/json" }) },
    body: content && JSON.stringify(content),
  });
  return { ok: answer.ok, status: answer.status, told: await answer.json() };
}

function show(person) {
  part("message").textContent = "";
  part("sign-in").hidden = Boolean(person);
  part("signed-in").hidden = !person;
  part("name").textContent = person?.display_name ?? "";
  part("reports").replaceChildren();
}

async function showReports() {
  const { status, told } = await ask("/api/reports");
  if (status === 401) return show(null); // the session has ended meanwhile
  for (const title of told.reports) {
    const row = document.createElement("li");
    row.textContent = title; // never as markup
    part("reports").append(row);
  }
}

async function signIn(event) {
  event.preventDefault();
  const fields = new FormData(event.target);
  const { ok, told } = await ask("/login", { username: fields.get("username"), password: fields.get("password") });
  event.target.elements.password.value = "";
  if (!ok && told.location) return location.assign(told.location); // the password must be changed first
  if (!ok) return (part("message").textContent = told.message);
  show(told);
  await showReports();
}

async function signOut() {
  await ask("/logout", {});
  show(null);
}

part("sign-in").addEventListener("submit", signIn);
part("sign-out").addEventListener("click", signOut);

const { ok, told } = await ask("/me");
show(ok ? told : null);
if (ok) await showReports();
