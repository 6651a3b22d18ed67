// The operator's temporary allowances: `ekiden allow`. Each change is logged with who asked.

import EkidenControl
import EkidenIngress
import EkidenMail
import EkidenRuntime

extension Relay {
    func allow(
        _ network: NetworkPrefix,
        for time: Duration,
        _ peer: ControlPeer
    ) throws(ControlProblem) -> ControlPage {
        let now = house.owner.now()
        guard time > .zero, time <= Allowances.timeMax else {
            throw ControlProblem(.malformed, "an allowance lasts from one second to 24 hours")
        }
        if network.base.isUnspecified {
            throw ControlProblem(
                .malformed,
                "\(network.shortText) stands for clients that nobody can name, not for one of them"
            )
        }
        if Allowances.isTooWide(network) {
            throw ControlProblem(
                .malformed,
                "\(network.text) is too wide to be allowed",
                hint: "at most an IPv4 /\(Allowances.lengthMin4) or an IPv6 "
                    + "/\(Allowances.lengthMin6); for good, relay_for is the place"
            )
        }
        guard let until = allowances.grant(network, until: now + time, at: now) else {
            throw ControlProblem(
                .unavailable,
                "there are \(Allowances.countMax) allowances already, and no more fit",
                hint: "ekiden allow --list shows them"
            )
        }
        let seconds = (until - now).wholeNanoseconds / 1_000_000_000
        let text = "\(network.shortText) may relay for \(seconds) s"
        house.notice(.info, "allow", text + " (uid \(peer.uid))")
        return ControlPage(rest: .end(ControlEnd(count: 1, text: text)))
    }

    func revoke(
        _ network: NetworkPrefix,
        _ peer: ControlPeer
    ) throws(ControlProblem) -> ControlPage {
        guard allowances.revoke(network, at: house.owner.now()) else {
            throw ControlProblem(
                .notFound,
                "\(network.shortText) has no allowance",
                hint: "ekiden allow --list shows who has"
            )
        }
        let text = "\(network.shortText) may not relay any more"
        house.notice(.info, "allow", text + " (uid \(peer.uid))")
        return ControlPage(rest: .end(ControlEnd(count: 1, text: text)))
    }

    /// - Parameter cursor: how many rows were given already.
    func allowancePage(after cursor: ControlCursor?) -> ControlPage {
        let now = house.owner.now()
        let wall = house.owner.wallNow()
        let all = allowances.all(at: now)
        let start = min(Int(clamping: cursor?.number ?? 0), all.count)
        let rows = all[start...].prefix(ControlServerSession.pageRows).map { allowance in
            let left = allowance.until - now
            return AllowanceRow(
                client: allowance.network.shortText,
                secondsLeft: left.inSeconds,
                until: wall + left
            )
        }
        let next = start + rows.count
        return ControlPage(
            rows: rows,
            rest: next < all.count
                ? .more(ControlCursor(number: UInt64(next))) : .end(ControlEnd(count: next))
        )
    }
}
