# Nothing is compiled: node reads p.js.
