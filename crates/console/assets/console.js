// The console works without any of this. It copies texts, shows times in the viewer's zone, and filters while typing.

const times = (root) => {
  const format = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
    time.textContent = `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}`;
  }
};

// Without https there is no clipboard, but what is selected can be copied.
const copyText = async (text) => {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.className = "hidden";
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  focused.focus();
};

const copies = (root) => {
  for (const button of root.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await copyText(button.dataset.copy ?? button.parentElement.querySelector("code").textContent);
      const label = button.textContent;
      const said = document.getElementById("said");
      button.textContent = said.textContent = document.body.dataset.copied;
      setTimeout(() => {
        button.textContent = label;
        said.textContent = "";
      }, 1500);
    });
  }
};

// A page of this console, which is parsed and never run.
const asItIs = { createHTML: (text) => text };
const ownPage = window.trustedTypes?.createPolicy("own-page", asItIs) ?? asItIs;

const filters = () => {
  const form = document.querySelector("form.filter");
  const list = document.getElementById("list");
  if (!form || !list) return;
  let timer;
  let asked = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      asked += 1;
      const turn = asked;
      const url = new URL(form.action || location.href);
      url.search = new URLSearchParams(new FormData(form)).toString();
      const response = await fetch(url, { headers: { Accept: "text/html" } });
      if (!response.ok || turn !== asked) return;
      const page = new DOMParser().parseFromString(ownPage.createHTML(await response.text()), "text/html");
      const fresh = page.getElementById("list");
      if (!fresh) return;
      list.replaceChildren(...fresh.childNodes);
      times(list);
      copies(list);
      choices(list);
      history.replaceState(null, "", url);
      const found = list.querySelector("caption") ?? list.querySelector("p");
      document.getElementById("said").textContent = found?.textContent ?? "";
    }, 150);
  });
};

const choices = (root) => {
  for (const all of root.querySelectorAll("input[data-select-all]")) {
    all.closest("label").hidden = false;
    all.addEventListener("change", () => {
      for (const box of all.form.querySelectorAll("input[name=digest]")) box.checked = all.checked;
    });
  }
};

times(document);
copies(document);
filters();
choices(document);
