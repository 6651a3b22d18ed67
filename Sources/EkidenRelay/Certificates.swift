// Certificates while the relay runs: new ones are taken up without a restart, and those that end soon are
// warned of.

import EkidenMail
import EkidenRuntime
import Synchronization

extension Relay {
    /// How often certificate files are looked at.
    static let certificateInterval = Duration.seconds(10)
    /// How long before its end a certificate is warned of; those that renew themselves do so earlier.
    private static let certificateNotice = Duration.seconds(7 * 86_400)
    /// How long keys of tickets are used.
    private static let ticketKeyLifetime = Duration.seconds(24 * 3600)

    /// Takes up certificates as they are renewed, as soon as any listener has TLS.
    func watchCertificates() {
        if shelf.isEmpty { return }
        let owner = house.owner
        let renewed = Mutex(owner.now())
        certificates.start {
            let isDue = renewed.withLock { renewed in
                let isDue = owner.now() - renewed >= Self.ticketKeyLifetime
                if isDue { renewed = owner.now() }
                return isDue
            }
            if isDue {
                self.shelf.renewKeys()
                self.warnOfCertificateEnds()
            }
            for change in self.shelf.refresh() {
                switch change {
                case .success(let text):
                    self.house.notice(.info, "tls", "new certificates are in use: " + text)
                case .failure(let failure):
                    self.house.notice(
                        .error,
                        "tls",
                        "certificates have changed and can't be used, the ones read before "
                            + "stay: " + failure.text
                    )
                }
            }
        }
    }

    /// At the start and once a day.
    func warnOfCertificateEnds() {
        let now = house.owner.wallNow()
        for standing in shelf.standings {
            guard let end = standing.end, end - now < Self.certificateNotice else { continue }
            house.notice(
                .warning,
                "tls",
                "the certificate in \(standing.file) \(end > now ? "ends" : "ended") "
                    + "\(end.timestamp); put a new one there"
            )
        }
    }
}
