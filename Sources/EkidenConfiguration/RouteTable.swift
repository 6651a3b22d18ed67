// Which route mail goes by. The table is indexed once, when the configuration is read. What a message
// has to show for it is looked at once a message, and a domain costs one hash per label, however many
// routes there are. Used by the composition to turn a recipient into a `NextHop`.

import EkidenMail

package struct RouteTable: Sendable {
    /// As configured, in the order of the file.
    package var all: [Route] { didSet { index() } }

    private var exact: [String: Int] = [:]
    private var below: [String: Int] = [:]
    private var any: Int?
    private var named: [String: Int] = [:]
    /// Routes that ask for more than a domain, in the order of the file.
    fileprivate private(set) var conditional: [Conditions] = []
    /// Some route looks at header fields.
    package private(set) var looksAtHeaders = false
    package private(set) var hasFallbacks = false

    package init(_ routes: [Route] = []) {
        all = routes
        index()
    }

    /// The first route that names a pattern has it; `check` reports the second.
    private mutating func index() {
        (exact, below, any, named) = ([:], [:], nil, [:])
        conditional = []
        looksAtHeaders = all.contains { !$0.header.isEmpty }
        hasFallbacks = all.contains { $0.fallback != nil }
        for (number, route) in all.enumerated() {
            if named[route.name] == nil { named[route.name] = number }
            if route.isConditional {
                conditional.append(Conditions(route, number))
                continue
            }
            for pattern in route.domains {
                switch pattern {
                case .exact(let domain):
                    if exact[domain.folded] == nil { exact[domain.folded] = number }
                case .below(let parent):
                    if below[parent] == nil { below[parent] = number }
                case .any:
                    any = any ?? number
                }
            }
        }
    }

    /// The route of a domain whatever the message: its own name first, then the longest `.suffix`, then
    /// `*`; nil when it goes by MX.
    /// - Bounds: one look-up per label.
    package func route(for domain: Domain) -> Route? { number(for: domain).map { all[$0] } }

    fileprivate func number(for domain: Domain) -> Int? {
        if all.isEmpty { return nil }
        // Patterns are A-labels (xn--…), addresses as they were written.
        let name = domain.lookupName ?? domain.folded
        if let number = exact[name] { return number }
        if !below.isEmpty, !domain.isLiteral {
            var rest = name[...]
            while let dot = rest.firstIndex(of: ".") {
                rest = rest[rest.index(after: dot)...]
                if let number = below[String(rest)] { return number }
            }
        }
        return any
    }

    /// The route of a name: the other half of `NextHop.route`.
    package func route(named name: String) -> Route? { named[name].map { all[$0] } }

    /// The routes a message may go by.
    package func routes(of message: QueuedMessage) -> MessageRoutes {
        MessageRoutes(
            table: self,
            candidates: conditional.isEmpty ? [] : conditional.filter { $0.fit(message, all) },
            isReleased: message.isReleased
        )
    }
}

extension RouteTable: Equatable {
    package static func == (a: RouteTable, b: RouteTable) -> Bool { a.all == b.all }
}

/// What a conditional route asks for, indexed.
private struct Conditions: Sendable {
    let route: Int
    let recipients: MailboxPatterns?
    let senders: MailboxPatterns?
    let domains: RouteTable?

    init(_ route: Route, _ number: Int) {
        self.route = number
        recipients = route.recipients.isEmpty ? nil : MailboxPatterns(route.recipients)
        senders = route.senders.isEmpty ? nil : MailboxPatterns(route.senders)
        domains =
            route.domains.isEmpty
            ? nil : RouteTable([Route(named: route.name, for: route.domains)])
    }

    /// What it asks of the message holds.
    func fit(_ message: QueuedMessage, _ all: [Route]) -> Bool {
        let route = all[route]
        if let senders, !senders.contains(message.sender) { return false }
        return message.origin.cameBy(logins: route.logins, listeners: route.listeners)
            && (route.header.isEmpty || message.origin.headerRoutes.contains(route.name))
            && message.byteCount >= route.sizeMin ?? 0
            && message.byteCount <= route.sizeMax ?? .max
            && (route.target != .hold || !message.isReleased)
    }

    /// What it asks of the recipient holds.
    func fit(_ recipient: Address) -> Bool {
        recipients?.contains(recipient) ?? true
            && domains.map { $0.route(for: recipient.domain) != nil } ?? true
    }
}

/// Where the recipients of one message go.
package struct MessageRoutes: Sendable {
    fileprivate let table: RouteTable
    fileprivate let candidates: [Conditions]
    fileprivate let isReleased: Bool

    /// Fallbacks of fallbacks that are followed.
    static let fallbacksMax = 8

    /// A route; how many attempts, counted from the first, were those of the routes whose fallback it is;
    /// and after how many its own fallback has the mail.
    package struct Step: Sendable {
        package let route: Route
        package var attemptsBefore = 0
        package var lastAttempt: Int?
    }

    /// The first conditional route that fits; else the one of the domain; nil: by MX. Then its
    /// fallbacks, each after as many attempts as the one before it has.
    /// - Parameter attempts: those made so far.
    package func step(of recipient: Address, attempts: Int) -> Step? {
        let number =
            candidates.first { $0.fit(recipient) }?.route
            ?? table.number(for: recipient.domain)
        guard let number else { return nil }
        var route = table.all[number]
        var (before, sum) = (0, 0)
        for _ in 0..<Self.fallbacksMax {
            guard let name = route.fallback, let next = table.route(named: name),
                !(isReleased && next.target == .hold)
            else { break }
            sum += route.fallbackAfter
            if attempts < sum {
                return Step(route: route, attemptsBefore: before, lastAttempt: sum)
            }
            (route, before) = (next, sum)
        }
        return Step(route: route, attemptsBefore: before)
    }

    package func nextHop(of recipient: RecipientStatus) -> NextHop {
        nextHop(of: recipient.address, attempts: recipient.attempts)
    }

    package func nextHop(of recipient: Address, attempts: Int = 0) -> NextHop {
        guard let route = step(of: recipient, attempts: attempts)?.route else {
            return .domain(recipient.domain)
        }
        return route.target == .mx
            ? .routed(recipient.domain, by: route.name) : .route(route.name)
    }
}
