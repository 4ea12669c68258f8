const testF = () => {
  console.assert(f(1) === 2)
  console.assert(f(5) === 6)
}
testF()
