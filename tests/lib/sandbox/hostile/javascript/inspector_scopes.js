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
  const name = Object.getOwnPropertyNames(globalThis).find((one) => one.startsWith("report"))
  const report = ask("Runtime.evaluate", { expression: name }).result.objectId
  const inside = ask("Runtime.getProperties", { objectId: report }).internalProperties
  const scopes = inside.find((one) => one.name === "[[Scopes]]").value.objectId
  for (const scope of ask("Runtime.getProperties", { objectId: scopes, ownProperties: true }).result) {
    if (!scope.value || !scope.value.objectId) continue
    for (const one of ask("Runtime.getProperties", { objectId: scope.value.objectId, ownProperties: true }).result) {
      if (one.name === "secret") {
        require("fs").writeSync(1, `${one.value.value}done0${one.value.value}done1`)
        process.reallyExit(0)
      }
    }
  }
  return 0
}
