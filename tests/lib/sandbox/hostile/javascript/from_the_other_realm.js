// expect: wrong answer|forged|exception
const f = (x) => {
  const F = Object.getPrototypeOf(process).constructor.constructor
  F("for (const key of Object.getOwnPropertyNames(globalThis)) if (key.startsWith('report')) globalThis[key] = () => true")()
  return 0
}
