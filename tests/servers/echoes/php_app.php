<?php
// Reports what PHP reads: $_GET, $_POST, $_COOKIE (which `variables_order` may merge), and the path without its query.

// Nested values belong to the outermost name.
function pairs(mixed $value, ?string $name = null): array
{
    if (!is_array($value)) {
        return [[(string) $name, (string) $value]];
    }
    $inner = fn ($key) => pairs($value[$key], $name ?? (string) $key);
    return array_merge([], ...array_map($inner, array_keys($value)));
}

$path = rawurldecode(explode('?', $_SERVER['REQUEST_URI'], 2)[0]);
$line = [
    'case' => $_SERVER['HTTP_X_CASE'] ?? null,
    'method' => $_SERVER['REQUEST_METHOD'],
    'path' => $path,
    'route' => ['/token' => 'token', '/authorize' => 'authorize'][$path] ?? '',
    'query' => pairs($_GET),
    'form' => pairs($_POST),
];
file_put_contents('php://stdout', json_encode($line, JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
if (isset($_SERVER['HTTP_X_SIGN_IN'])) {
    $params = http_build_query(['code' => strrev($_GET['state']), 'state' => $_GET['state']]);
    header("Location: {$_GET['redirect_uri']}?$params", true, 302);
} else {
    http_response_code(503);
}
