"""The browser's side of the live parts: one script for the light page and for the component in Streamlit's pages.

It replaces the sections that changed, keeps the focus, counts ages on, says when nothing comes any more, and holds the
stream: closed while the tab is hidden, because a browser opens only six connections to a host for all its tabs.
"""

from __future__ import annotations

# A part that hears nothing from the server for so long marks its figures as old by itself.
SILENT_AFTER_S = 10

LIVE_JS = """
const words = (seconds) => {
  const s = Math.max(0, Math.floor(seconds));
  const two = (a, u, b, v) => (b ? `${a} ${u} ${b} ${v}` : `${a} ${u}`);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
};

const tick = (root) => {
  const now = Date.now();
  const since = (now - root.shownAt) / 1000;
  const silence = (now - root.heardAt) / 1000;
  const isSilent = root.isLate || (root.silentAfter && silence > root.silentAfter);
  root.dataset.silent = isSilent ? "yes" : "no";
  root.querySelectorAll("[data-age]").forEach((element) => {
    const base = root.ages[element.dataset.age];
    if (base !== undefined && base !== null) element.textContent = words(base + since);
  });
  root.querySelectorAll("[data-silence]").forEach((element) => {
    element.textContent = words((now - root.freshAt) / 1000);
  });
};

const hear = (root, message) => {
  const now = Date.now();
  root.heardAt = now;
  root.isLate = Boolean(message.is_late);
  if (!root.isLate) root.freshAt = now;
  if (message.ages) {
    root.ages = message.ages;
    root.shownAt = now;
    root.dataset.old = message.is_old ? "yes" : "no";
  }
};

const apply = (root, message) => {
  hear(root, message);
  const focused = root.getRootNode().activeElement?.dataset?.account;
  const before = new Map([...root.children].map((section) => [section.dataset.name, section]));
  const changed = new Map(message.sections);
  message.order.forEach((name, index) => {
    const section = before.get(name) ?? document.createElement("div");
    before.delete(name);
    section.dataset.name = name;
    const markup = changed.get(name);
    if (markup !== undefined && section.markup !== markup) section.innerHTML = section.markup = markup;
    if (root.children[index] !== section) root.insertBefore(section, root.children[index] ?? null);
  });
  before.forEach((section) => section.remove());
  if (focused !== undefined && root.getRootNode().activeElement?.dataset?.account !== focused)
    root.querySelector(`[data-account="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  tick(root);
};

const disconnect = (root) => {
  root.stream?.close();
  clearTimeout(root.again);
  clearTimeout(root.hiding);
  document.removeEventListener("visibilitychange", root.onVisibility);
  root.stream = root.streamUrl = null;
};

const connect = (root, url) => {
  if (root.streamUrl === url) return;
  disconnect(root);
  root.streamUrl = url;
  let failures = 0;
  const later = () => {
    failures += 1;
    clearTimeout(root.again);
    root.again = setTimeout(open, Math.min(30, 2 ** failures) * 1000);
  };
  const end = () => {
    disconnect(root);
    root.dataset.ended = "yes";
  };
  const refused = async () => {
    try {
      const answer = await fetch(url, { method: "HEAD", redirect: "manual", cache: "no-store" });
      const isOut = answer.status === 401 || answer.type === "opaqueredirect";
      if (root.streamUrl === url) isOut ? end() : later();
    } catch {
      if (root.streamUrl === url) later();
    }
  };
  const open = () => {
    root.stream?.close();
    const stream = (root.stream = new EventSource(url));
    const on = (name, act) => stream.addEventListener(name, (event) => {
      if (root.stream !== stream) return;
      failures = 0;
      act(event);
    });
    on("page", (event) => apply(root, JSON.parse(event.data)));
    on("beat", (event) => { hear(root, JSON.parse(event.data)); tick(root); });
    on("end", end);
    stream.onerror = () => { if (stream.readyState === 2 && root.stream === stream) refused(); };
  };
  root.onVisibility = () => {
    clearTimeout(root.hiding);
    if (document.hidden) root.hiding = setTimeout(() => { root.stream?.close(); root.stream = null; }, 20000);
    else if (!root.stream) open();
  };
  document.addEventListener("visibilitychange", root.onVisibility);
  open();
};

const begin = (root, silentAfter) => {
  root.silentAfter = silentAfter;
  clearInterval(root.timer);
  root.timer = setInterval(() => tick(root), 1000);
};

// Of a component. Data may be drawn again long after they were sent, when the stream has brought newer ones.
const draw = (root, data) => {
  if (root.sentAt === data.sent_at) return;
  root.sentAt = data.sent_at;
  delete root.dataset.ended;
  apply(root, data);
};

const live = (root, data) => {
  begin(root, data.silent_after_s);
  if (data.stream) connect(root, data.stream);
  else disconnect(root);
  return () => {
    clearInterval(root.timer);
    disconnect(root);
  };
};
"""
