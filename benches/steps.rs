//! The pure steps of a sign-in: `cargo bench --bench steps`.
#![expect(clippy::unwrap_used, reason = "a bench stops at the first surprise")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pkce_gate::parts::{
    AuthorizationCode, Carrier, ClientState, CodeChallenge, CodeChallengeMethod, CodeVerifier,
    FormPost, HandleKey, Location, Params, Purpose, RedirectUri, Replacement, Submission,
    TokenRequest,
};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const LIMIT: usize = 64;

fn parsing(criterion: &mut Criterion) {
    let query = format!(
        "response_type=code&client_id=spa&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&scope=openid%20profile\
         &state={}&code_challenge={CHALLENGE}&code_challenge_method=S256",
        "0123456789abcdef".repeat(4)
    );
    criterion.bench_function("authorization request: read", |bencher| {
        bencher.iter(|| {
            let submission = Submission::read(black_box(query.as_bytes()), None, LIMIT).unwrap();
            let part = submission.fresh(true).unwrap().unwrap();
            black_box(submission.request(part).unwrap().client_id.is_some())
        });
    });
    let form = format!(
        "grant_type=authorization_code&code=pgc0123456789ABCDEFGHIJKLMNOPQRSTUV\
         &redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&client_id=spa&code_verifier={VERIFIER}"
    );
    criterion.bench_function("token request: read", |bencher| {
        bencher.iter(|| {
            let params = Params::parse(black_box(form.as_bytes()), LIMIT).unwrap();
            black_box(TokenRequest::parse(&params, None).is_ok())
        });
    });
}

fn pkce(criterion: &mut Criterion) {
    let challenge = CodeChallenge::parse(CodeChallengeMethod::S256, CHALLENGE).unwrap();
    criterion.bench_function("verifier: parse and verify", |bencher| {
        bencher.iter(|| {
            let verifier = CodeVerifier::parse(black_box(VERIFIER), 128).unwrap();
            assert!(challenge.is_met_by(&verifier));
        });
    });
    criterion.bench_function("redirect URI: digest", |bencher| {
        bencher.iter(|| RedirectUri::new(black_box("https://app.example/callback")).digest());
    });
}

fn handles(criterion: &mut Criterion) {
    let key = HandleKey::for_upstream("bench");
    let entropy = || (0..200).map(|byte: u8| byte.wrapping_mul(37));
    criterion.bench_function("handle: mint", |bencher| {
        bencher.iter(|| key.mint(Purpose::State, black_box(entropy())));
    });
    let handle = key.mint(Purpose::State, entropy());
    criterion.bench_function("handle: recognise", |bencher| {
        bencher.iter(|| key.recognise(Purpose::State, black_box(handle.expose())));
    });
}

fn carriers(criterion: &mut Criterion) {
    let key = HandleKey::for_upstream("bench");
    let handle = key.mint(Purpose::State, 0..200);
    let code = key.mint(Purpose::Code, 0..200);
    let state = ClientState::value("0123456789abcdef".repeat(4));
    let raw = AuthorizationCode::new("SplxlOBeZQQYbYS6WxSbIA").unwrap();
    let replacement = Replacement {
        handle: &handle,
        state: &state,
        code: Some((&raw, &code)),
        without: &[],
        issuer: None,
    };
    let location = format!(
        "https://app.example/callback?code=SplxlOBeZQQYbYS6WxSbIA&state={}&iss=https%3A%2F%2Flogin.example",
        handle.expose()
    );
    criterion.bench_function("Location: read and rewrite", |bencher| {
        bencher.iter(|| {
            let location = Location::new(black_box(location.as_bytes()));
            assert!(location.read((&key).into()).is_response());
            location.rewrite(replacement)
        });
    });
    let page = format!(
        "<!doctype html><title>Submit</title><body onload=\"document.forms[0].submit()\">\
         <form method=post action=\"https://app.example/callback\"><input type=hidden name=code value=SplxlOBeZQQYbYS6WxSbIA>\
         <input type=hidden name=state value={}></form></body>",
        handle.expose()
    );
    criterion.bench_function("form_post page: read and rewrite", |bencher| {
        bencher.iter(|| {
            let form = FormPost::all(black_box(page.as_bytes())).remove(0);
            assert!(form.read((&key).into()).is_response());
            form.rewrite(replacement)
        });
    });
}

criterion_group!(steps, parsing, pkce, handles, carriers);
criterion_main!(steps);
