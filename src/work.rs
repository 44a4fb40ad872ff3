//! How much of foreign bytes is looked at. Each reader of bytes that somebody else wrote looks at each of them a bounded number
//! of times; it says here what it looks at, and tests count it (`suspicion::tests`, `carrier::tests`). Outside of tests
//! nothing is counted, and nothing is left of it.

#[cfg(test)]
thread_local! {
    static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// So many bytes are looked at now.
#[inline]
pub(crate) fn looked_at(bytes: usize) {
    #[cfg(test)]
    LOOKED_AT.with(|all| all.set(all.get() + bytes));
    #[cfg(not(test))]
    let _ = bytes;
}

/// How many bytes were looked at while this ran.
#[cfg(test)]
pub(crate) fn during(run: impl FnOnce()) -> usize {
    let before = LOOKED_AT.with(std::cell::Cell::get);
    run();
    LOOKED_AT.with(std::cell::Cell::get) - before
}
