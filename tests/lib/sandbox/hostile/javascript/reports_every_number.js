// expect: forged
const f = (x) => {
  const name = Object.getOwnPropertyNames(globalThis).find((one) => one.startsWith("report"))
  for (let n = 0; n < 65536; n++) globalThis[name](n, true)
  return 0
}
