const testF = () => {
  console.assert(f(1) === 2)
  console.assert(f(5) === 6)
  console.assert(f(-3) === -2)
  console.assert(f(0) === 1)
  console.assert(f(41) === 42)
  console.assert(f(98) === 99)
}
testF()
