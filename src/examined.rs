//! Counts, in tests, how many bytes the parsers of untrusted input examine, to check that each byte is examined a
//! bounded number of times (`suspicion::tests`, `carrier::tests`). Outside of tests it compiles to nothing.

#[cfg(test)]
thread_local! {
    static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Records that so many bytes are examined.
#[inline]
pub(crate) fn looked_at(bytes: usize) {
    #[cfg(test)]
    LOOKED_AT.with(|all| all.set(all.get() + bytes));
    #[cfg(not(test))]
    let _ = bytes;
}

/// The number of bytes examined while `run` ran.
#[cfg(test)]
pub(crate) fn during(run: impl FnOnce()) -> usize {
    let before = LOOKED_AT.with(std::cell::Cell::get);
    run();
    LOOKED_AT.with(std::cell::Cell::get) - before
}
