// A small library of charts: bars, a line, a doughnut; into an SVG or a canvas.
"use strict";
const charts = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const COLOURS = ["#0a7", "#e63", "#36c", "#c3a", "#fb0", "#678"];
  const make = (parent, name, attributes, text) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const frame = (where, width, height) => {
    const host = document.querySelector(where);
    return make(host, "svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  };
  return {
    COLOURS,
    bars(where, values, { width = 640, height = 320 } = {}) {
      const svg = frame(where, width, height), most = Math.max(...values.map((v) => v.value));
      const step = (width - 60) / values.length;
      for (let line = 0; line <= 4; line++) {
        const y = height - 30 - (line * (height - 50)) / 4;
        make(svg, "line", { x1: 50, x2: width, y1: y, y2: y, stroke: "#ccd" });
        make(svg, "text", { x: 44, y: y + 4, "text-anchor": "end", "font-size": 11 }, ((most * line) / 4).toFixed(0));
      }
      values.forEach(({ name, value }, index) => {
        const tall = ((height - 50) * value) / most, x = 56 + index * step;
        make(svg, "rect", { x, y: height - 30 - tall, width: step * 0.7, height: tall, fill: COLOURS[index % 6] });
        make(svg, "text", { x: x + step * 0.35, y: height - 12, "text-anchor": "middle", "font-size": 11 }, name);
      });
    },
    line(where, series, { width = 640, height = 320 } = {}) {
      const svg = frame(where, width, height);
      const all = series.flat(), most = Math.max(...all), least = Math.min(...all);
      series.forEach((values, index) => {
        const points = values.map((value, at) => {
          const x = 10 + (at * (width - 20)) / (values.length - 1);
          return `${x.toFixed(1)},${(height - 10 - ((value - least) * (height - 20)) / (most - least)).toFixed(1)}`;
        });
        make(svg, "polyline", { points: points.join(" "), fill: "none", stroke: COLOURS[index], "stroke-width": 2.5 });
      });
    },
    doughnut(canvas, values) {
      const context = document.querySelector(canvas).getContext("2d");
      const { width, height } = context.canvas, sum = values.reduce((a, b) => a + b);
      let from = -Math.PI / 2;
      values.forEach((value, index) => {
        const to = from + (2 * Math.PI * value) / sum;
        context.beginPath();
        context.arc(width / 2, height / 2, width * 0.42, from, to);
        context.arc(width / 2, height / 2, width * 0.24, to, from, true);
        context.fillStyle = COLOURS[index % 6];
        context.fill();
        from = to;
      });
      context.fillStyle = "#223";
      context.font = "bold 28px Liberation Sans";
      context.textAlign = "center";
      context.fillText(String(sum), width / 2, height / 2 + 10);
    },
  };
})();
