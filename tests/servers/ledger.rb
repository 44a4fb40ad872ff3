# The ledger of fixture.mjs as Rack middleware: records what the server received and issued, outside the package under test.
require 'json'
require 'rack'
require 'stringio'

class Ledger
  def initialize(app, paths)
    @app = app
    @paths = paths
    reset
  end

  def call(env)
    path, query = env['REQUEST_URI'].sub(%r{\Ahttps?://[^/]*}, '').split('?', 2)
    reset if path == '/__ledger/reset'
    return [200, { 'Content-Type' => 'application/json' }, [JSON.generate(@seen)]] if path.start_with?('/__ledger')

    record = record(env, path, query)
    @paths.each { |endpoint, folded_path| @seen[endpoint] << record if folded(path) == folded_path }
    sleep(env['HTTP_X_ANSWER_AFTER'].to_i / 1000.0) # a browser can only click twice at what takes its time
    watched(env, record)
  end

  private

  def reset
    @seen = { authorize: [], token: [], codes: [] }
  end

  def record(env, path, query)
    body = env['rack.input']&.read.to_s
    env['rack.input'] = StringIO.new(body)
    { method: env['REQUEST_METHOD'], path: path, query: query.to_s, content_type: env['CONTENT_TYPE'].to_s,
      authorization: env.key?('HTTP_AUTHORIZATION'), body: text(body), status: 0 }
  end

  def watched(env, record)
    status, headers, answer = @app.call(env)
    record[:status] = status
    body = +''
    answer.each { |part| body << part }
    answer.close if answer.respond_to?(:close)
    @seen[:codes].concat(issued_in(headers['Location'].to_s, text(body)))
    [status, headers, [body]]
  end

  # The path as the most lenient router would read it, so that the ledger misses no spelling of an endpoint.
  def folded(path)
    text(Rack::Utils.unescape_path(path)).squeeze('/').sub(%r{(?<=.)/\z}, '').downcase
  end

  # Every code in a response: Location query or fragment, or a form_post page.
  def issued_in(location, body)
    parts = location.split(/[?#]/).drop(1)
    codes = parts.flat_map { |part| Rack::Utils.parse_query(part).values_at('code') }
    fields = body.scan(/<input\b[^>]*\bname="code"[^>]*>/i)
    (codes + fields.map { |field| field[/\bvalue="([^"]*)"/i, 1] }).flatten.compact
  end

  def text(bytes)
    bytes.dup.force_encoding('UTF-8').scrub
  end
end
