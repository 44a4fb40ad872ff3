# Doorkeeper as a Rails application in one file, without the PKCE migration, so that it ignores PKCE.
# Its particular behaviour: for an out-of-band redirect URI it shows the code on a page; consent is posted to the authorization path
# with every parameter in a hidden field, and a refusal as `_method=delete`; clients authenticate in the form only, and HTTP Basic gets
# 401.
require 'logger'
require 'tmpdir'
require 'rails'
require 'active_record/railtie'
require 'action_controller/railtie'
require 'doorkeeper'
require 'rack/handler/webrick'
require_relative 'ledger'

PORT = ARGV.fetch(0).to_i
STATE = Dir.mktmpdir('pkce-gate-doorkeeper-')
OUT_OF_BAND = 'urn:ietf:wg:oauth:2.0:oob'.freeze
REDIRECT_URIS = ['http://127.0.0.1:9999/cb', *ENV.fetch('REDIRECT_URIS', '').split, OUT_OF_BAND].freeze
SCHEMA = "#{Gem.loaded_specs['doorkeeper'].gem_dir}/lib/generators/doorkeeper/templates/migration.rb.erb".freeze

User = Struct.new(:id)

class Site < Rails::Application
  config.root = STATE
  config.eager_load = false
  config.logger = Logger.new(File::NULL)
  config.secret_key_base = 'a key that signs cookies'
  config.consider_all_requests_local = false # a page of a developer's own repeats the request, code included
end

Doorkeeper.configure do
  orm :active_record
  resource_owner_authenticator do
    session[:user] ? User.new(session[:user]) : redirect_to("/login?#{{ next: request.fullpath }.to_query}")
  end
  client_credentials :from_params
  default_scopes :openid
  force_ssl_in_redirect_uri false
end

class SessionsController < ActionController::Base
  protect_from_forgery with: :exception

  PAGE = <<~HTML.freeze
    <!doctype html><title>Sign in</title>
    <%= form_tag '/login' do %><%= hidden_field_tag :next, params[:next] %>
    <%= text_field_tag :username %> <%= password_field_tag :password %> <%= submit_tag 'Sign in', name: nil %><% end %>
  HTML

  def new
    render inline: PAGE
  end

  def create
    return new unless params[:password] == 'pass'

    session[:user] = 1
    redirect_to params[:next]
  end
end

def populate
  ActiveRecord::Migration.verbose = false
  migration_version = "[#{ActiveRecord::Migration.current_version}]"
  Object.class_eval(ERB.new(File.read(SCHEMA)).result_with_hash(migration_version: migration_version))
  CreateDoorkeeperTables.new.change
  { 'pub' => false, 'conf' => true }.each do |uid, confidential|
    Doorkeeper::Application.create!(name: uid, uid: uid, secret: 'sekrit', confidential: confidential,
                                    redirect_uri: REDIRECT_URIS.join("\n"), scopes: 'openid')
  end
end

# Standard input is a pipe of the test process, which closes however that process ends.
def leave_with_the_test_process
  Thread.new do
    $stdin.read
    FileUtils.rm_rf(STATE)
    exit!
  end
end

leave_with_the_test_process
ENV['DATABASE_URL'] = "sqlite3:#{STATE}/db.sqlite3?pool=32"
Site.initialize!
Site.routes.draw do
  use_doorkeeper
  get '/login', to: 'sessions#new'
  post '/login', to: 'sessions#create'
end
populate

ledger = Ledger.new(Site, authorize: '/oauth/authorize', token: '/oauth/token')
quiet = { Logger: WEBrick::Log.new(File::NULL), AccessLog: [] }
Rack::Handler::WEBrick.run(ledger, Host: '127.0.0.1', Port: PORT, **quiet) do
  $stdout.puts('ready')
  $stdout.flush
end
