// Convert TeX to SVG with MathJax when the book is built: reads lines of JSON {tex, display}, writes lines {svg}.
const [mathjax] = process.argv.slice(2);

require(mathjax)
  .init({
    loader: { load: ["input/tex", "output/svg"] },
    svg: { fontCache: "none" },
    startup: { typeset: false },
  })
  .then(async (MathJax) => {
    const lines = require("readline").createInterface({ input: process.stdin });
    for await (const line of lines) {
      const { tex, display } = JSON.parse(line);
      const adaptor = MathJax.startup.adaptor;
      const made = adaptor.firstChild(MathJax.tex2svg(tex, { display }));
      console.log(JSON.stringify({ svg: adaptor.outerHTML(made) }));
    }
  })
  .catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
