//! A code is redeemed once, whatever happens.

use crate::support::client::{assert_refused, assert_token};
use crate::support::rig::Rig;

#[test]
fn a_code_is_redeemed_once() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    for _ in 0..3 {
        assert_refused(
            &rig.token(&authorization.redemption(&code)),
            "invalid_grant",
        );
    }
    assert_eq!(rig.forwarded(), 1);
}
