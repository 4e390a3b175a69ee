// node pkg-sea.cjs MAIN OPTIONS_JSON: pkg's SEA builder by its module API, because its command line drops the SEA settings (6.23.0). A process of its own:
// it changes the working directory, works below TMPDIR and writes notes to both outputs.
'use strict';
const { default: sea } = require('@yao-pkg/pkg/lib-es5/sea.js');

const [, , main, options] = process.argv;
sea(main, JSON.parse(options)).catch((error) => {
  console.error(error);
  process.exit(1);
});
