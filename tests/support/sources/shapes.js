(function () {
  /** Greets by name. */
  function greet(name) {
    const clean = name.trim();
    return `Hello, ${clean}!`;
  }

  // Doubles every number.
  const doubled = (numbers) => {
    const result = numbers.map((n) => n * 2);
    return result;
  };

  greet.shout = function (name) {
    const text = greet(name);
    return text.toUpperCase();
  };

  class Queue {
    push(item) {
      this.items.push(item);
      return this.items.length;
    }
  }
})();
