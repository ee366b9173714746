//! Members that a problem may have beyond those of every problem (RFC 9457, section 3.2): the only list.

/// Members that RFC 9457 defines (section 3.1), and the one that Wallex adds to every problem.
pub(super) const RESERVED: [&str; 6] = ["type", "title", "status", "detail", "instance", "code"];

// A reserved name here does not compile: a body with two members of one name means something else to every reader.
wallex_domain::words! {
    /// What a problem may say beyond the members that every problem has.
    pub enum Extension {
        Available = "available",
        Balance = "balance",
        Errors = "errors",
        Held = "held",
        HoldId = "hold_id",
        HoldStatus = "hold_status",
        Index = "index",
        Left = "left",
        Limit = "limit",
        Problem = "problem",
        Reached = "reached",
        Stale = "stale",
        TransactionId = "transaction_id",
        Version = "version",
        WalletId = "wallet_id",
        Wanted = "wanted",
    }
}

const _: () = {
    let mut at = 0;
    while at < Extension::ALL.len() {
        let mut reserved = 0;
        while reserved < RESERVED.len() {
            let same = equal(
                Extension::ALL[at].as_str().as_bytes(),
                RESERVED[reserved].as_bytes(),
            );
            assert!(!same, "a reserved member cannot be an extension");
            reserved += 1;
        }
        at += 1;
    }
};

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
