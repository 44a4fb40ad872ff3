# Reports what Plack reads: query_parameters and body_parameters of Plack::Request, and PATH_INFO.
use strict;
use warnings;
use HTTP::Server::PSGI;
use JSON::PP;
use Plack::Request;
use URI;

$| = 1;
my $json = JSON::PP->new->ascii->canonical;
my %routes = ('/token' => 'token', '/authorize' => 'authorize');

sub pairs {
    my @flat = shift->flatten;
    my @pairs;
    while (my ($name, $value) = map { $_ // '' } splice @flat, 0, 2) {
        utf8::decode($_) for $name, $value;
        push @pairs, [$name, $value];
    }
    return \@pairs;
}

my $app = sub {
    my $request = Plack::Request->new(shift);
    my $path = $request->path_info;
    print $json->encode({
        case => $request->header('X-Case'), method => $request->method, path => $path,
        route => $routes{$path} // '',
        query => pairs($request->query_parameters), form => pairs($request->body_parameters),
    }), "\n";
    return [503, [], []] unless $request->header('X-Sign-In');
    my $query = $request->query_parameters;
    my $uri = URI->new($query->get('redirect_uri'));
    $uri->query_form(code => scalar reverse($query->get('state')), state => $query->get('state'));
    return [302, [Location => "$uri"], []];
};

HTTP::Server::PSGI->new(host => '127.0.0.1', port => $ARGV[0])->run($app);
