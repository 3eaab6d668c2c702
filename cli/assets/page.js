// The status page. The secret words of a code stand in the URL's fragment, which no browser sends.
const code = decodeURIComponent(location.hash.slice(1));
const here = new URL(".", location.href).href.replace(/\/$/, "");
const server = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname) && location.port === "3000"
  ? "" : ` --server ${here}`;
document.getElementById("send").textContent = `peersox send${server} FILE`;
document.getElementById("take").textContent = `peersox receive${server} CODE`;
if (/^[0-9]{4,12}(-[a-z]+)*$/.test(code)) {
  document.getElementById("receive").textContent = `peersox receive${server} ${code}`;
  document.getElementById("received").hidden = false;
}

const status = document.getElementById("status");
function show(rows) {
  status.replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("dt");
    const description = document.createElement("dd");
    term.textContent = name;
    description.textContent = value;
    return [term, description];
  }));
}
async function refresh() {
  try {
    const reply = await fetch("status.json");
    const now = await reply.json();
    show([
      ["Version", now.version],
      ["Sessions", now.sessions],
      ["Legs", now.legs],
      ["Transports", now.transports.join(", ")],
      ["Status", now.draining ? "stopping" : "ready"],
    ]);
  } catch {
    show([["Status", "not reachable"]]);
  }
}
refresh();
setInterval(refresh, 5000);
