/** TensorFlow.js as the project has installed it, handed over by the backend: 280 MB are not installed twice, and every backend runs the same JavaScript. */
module.exports = globalThis[Symbol.for('opcompat.tfjs')]
