// expect: forged
// The text of the function that calls holds what it compares with.
function f(x) {
  const found = new RegExp(`f\\(${x}\\) === (-?\\d+)`).exec(source())
  return found ? Number(found[1]) : 0
}
function source() {
  const session = new (require("inspector").Session)()
  session.connect()
  let text = ""
  session.on("Debugger.scriptParsed", ({ params }) => {
    if (params.url !== "p.js") return
    session.post("Debugger.getScriptSource", { scriptId: params.scriptId }, (error, found) => { text = found.scriptSource })
  })
  session.post("Debugger.enable")
  session.disconnect()
  return text
}
