// Reports what Express reads: req.query and req.body, both parsed with qs, JSON and text bodies, and the matched route.
const express = require('express');

const app = express();
app.use(express.urlencoded({ extended: true }), express.json());

// Nested values belong to the outermost name.
function pairs(value, name) {
  if (value === null || typeof value !== 'object') return name === undefined ? [] : [[name, String(value ?? '')]];
  return Object.entries(value).flatMap(([key, inner]) => pairs(inner, name ?? key));
}

const echo = (route) => (req, res) => {
  const [query, form] = [pairs(req.query), pairs(req.body)];
  const { method, path } = req;
  console.log(JSON.stringify({ case: req.get('x-case'), method, path, route, query, form }));
  if (!req.get('x-sign-in')) return res.status(503).end();
  const { state, redirect_uri } = req.query;
  res.redirect(`${redirect_uri}?${new URLSearchParams({ code: [...state].reverse().join(''), state })}`);
};

app.all('/token', echo('token'));
app.all('/authorize', echo('authorize'));
app.use(echo(''));
app.use((error, req, res, next) => res.status(400).end());
app.listen(Number(process.argv[2]), '127.0.0.1');
