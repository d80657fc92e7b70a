"use strict";

// Connecting again: after a stop of the server all its clients are without it, so they wait a while, and not all the same.
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
// Close codes of the application: there is no use in connecting again.
const BAD_NAME = 4000;
const SHOWN_MAX = 500;

const find = (selector) => document.querySelector(selector);
const door = find("#door");
const messages = find("#messages");

let socket = null;
let room = "";
// What was asked for, and what the room has made of it.
let wanted = "";
let name = "";
let waitMs = FIRST_WAIT_MS;
let timer = 0;

function connect() {
  const url = new URL("socket", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ room, name: wanted });
  socket = new WebSocket(url);
  show("connecting");
  socket.addEventListener("message", (event) => take(JSON.parse(event.data)));
  socket.addEventListener("close", closed);
}

function closed(event) {
  socket = null;
  find("#members").replaceChildren();
  if (event.code === BAD_NAME) {
    leave(event.reason);
    return;
  }
  show(event.code === 1012 ? "server restarts" : "not connected");
  timer = setTimeout(connect, waitMs * (0.5 + Math.random()));
  waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
}

function leave(why) {
  clearTimeout(timer);
  if (socket) {
    socket.removeEventListener("close", closed);
    socket.close(1000);
    socket = null;
  }
  find("main").hidden = true;
  door.hidden = false;
  door.querySelector("p").textContent = why;
}

// Everything that another person has written becomes text, never HTML.
const takers = {
  welcome(event) {
    waitMs = FIRST_WAIT_MS;
    name = event.name;
    show("connected as " + name, true);
    messages.replaceChildren();
    event.history.forEach(takers.said);
  },
  joined(event) { add("event", event.name + " has come in"); list(event.members); },
  left(event) { add("event", event.name + " has left"); list(event.members); },
  notice(event) { add("event", event.text); },
  said(event) {
    const author = document.createElement("b");
    author.textContent = event.name;
    const time = document.createElement("time");
    time.textContent = new Date(event.at * 1000).toLocaleTimeString();
    add(event.name === name ? "mine" : "", time, author, event.text);
  },
};

function take(event) {
  const taker = takers[event.type];
  if (taker) taker(event);
}

function add(kind, ...content) {
  const isAtEnd = messages.scrollTop + messages.clientHeight > messages.scrollHeight - 40;
  const item = document.createElement("li");
  item.className = kind;
  item.append(...content);
  messages.append(item);
  while (messages.children.length > SHOWN_MAX) messages.firstChild.remove();
  if (isAtEnd) messages.scrollTop = messages.scrollHeight;
}

function list(names) {
  find("#members").replaceChildren(...names.map((member) => {
    const item = document.createElement("li");
    item.textContent = member;
    return item;
  }));
}

function show(state, isOn = false) {
  find("#state").textContent = state;
  find("#state").className = isOn ? "on" : "";
  find("#say button").disabled = !isOn;
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  wanted = door.elements.name.value;
  room = door.elements.room.value;
  door.hidden = true;
  find("main").hidden = false;
  find("main h1").textContent = room;
  connect();
  find("#say input").focus();
});

find("#say").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = find("#say input");
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ type: "say", text: input.value }));
  input.value = "";
});

find("#leave").addEventListener("click", () => leave(""));
