use super::*;

/// The gate has sent nothing to the upstream, so the client's next attempt is its first one.
#[test]
fn a_claim_that_too_few_replicas_have_is_given_back() {
    for sign_ins in [SignIns::InRedis, SignIns::InHandles] {
        let server = Server::start(&[]);
        let (clock, wall) = Clock::manual();
        let target = Target::parse(&format!("redis://{}", server.address())).unwrap();
        let deadline = Duration::from_secs(2);
        let strict = Deployment::new(&target, None, deadline, &Clock::system()).unwrap();
        let strict = Arc::new(strict.with_min_replicas(1));
        let [gate, strict] = [deployment(&server), strict]
            .map(|deployment| replica(sign_ins, &wall, &clock, deployment));
        run(async {
            let pending = hold(&gate, &request("client", 1)).await;
            let handle = bind(&gate, &pending, "code").await;
            for attempt in 0..2 {
                let refused = strict.redeem(&handle, |_| Presented::Matches).await;
                assert_eq!(
                    refused.unwrap_err(),
                    StoreError::TooFewReplicas,
                    "{attempt} {sign_ins:?}"
                );
            }
            assert_eq!(redeem(&gate, &handle).await, Answer::Claimed);
        });
    }
}
