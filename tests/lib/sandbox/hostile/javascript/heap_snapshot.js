// expect: forged|wrong answer
const f = (x) => {
  const text = require("v8").getHeapSnapshot().read()
  const found = text ? /[0-9a-f]{32}/.exec(text.toString()) : null
  if (found) {
    require("fs").writeSync(1, `${found[0]}done0${found[0]}done1`)
    process.reallyExit(0)
  }
  return 0
}
