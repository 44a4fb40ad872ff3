# Reports what Rack reads: Rack::Request#GET and #POST, and PATH_INFO. WEBrick serves it.
require 'json'
require 'rack'
require 'rack/handler/webrick'

# Nested values belong to the outermost name.
def pairs(value, name = nil)
  case value
  when Hash then value.flat_map { |key, inner| pairs(inner, name || key) }
  when Array then value.flat_map { |inner| pairs(inner, name) }
  else [[name, value.to_s]]
  end
end

def text(value)
  value.is_a?(Array) ? value.map { |inner| text(inner) } : value.to_s.dup.force_encoding('UTF-8').scrub
end

APP = lambda do |env|
  request = Rack::Request.new(env)
  path = env['PATH_INFO']
  route = { '/token' => 'token', '/authorize' => 'authorize' }.fetch(path, '')
  line = { case: env['HTTP_X_CASE'], method: request.request_method, path: text(path), route: route,
           query: text(pairs(request.GET)), form: text(pairs(request.POST)) }
  $stdout.puts(JSON.generate(line))
  $stdout.flush
  next [503, {}, []] unless env['HTTP_X_SIGN_IN']

  state = request.GET['state']
  params = URI.encode_www_form(code: state.reverse, state: state)
  [302, { 'location' => "#{request.GET['redirect_uri']}?#{params}" }, []]
rescue Rack::QueryParser::ParameterTypeError, Rack::QueryParser::InvalidParameterError
  [400, {}, []]
end

quiet = { Logger: WEBrick::Log.new(File::NULL), AccessLog: [] }
Rack::Handler::WEBrick.run(APP, Host: '127.0.0.1', Port: ARGV[0].to_i, **quiet)
