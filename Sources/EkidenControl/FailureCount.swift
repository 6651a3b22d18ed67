// What `ekiden status` says of failures: how many attempts of a class were deferred, and how many
// recipients bounced or expired, since the relay started.

import EkidenMail

package struct FailureCount: Sendable, Equatable {
    package var failureClass: FailureClass
    package var deferred: Int
    package var bounced: Int

    package init(_ failureClass: FailureClass, deferred: Int = 0, bounced: Int = 0) {
        self.failureClass = failureClass
        self.deferred = deferred
        self.bounced = bounced
    }

    func write(_ w: inout JSONWriter) {
        w.field("class", failureClass.rawValue)
        w.field("deferred", deferred)
        w.field("bounced", bounced)
    }

    init(_ object: JSONObject) throws(JSONProblem) {
        guard let failureClass: FailureClass = try object.word("class") else {
            throw .wrongType("class")
        }
        self.failureClass = failureClass
        deferred = try object.integer("deferred")
        bounced = try object.integer("bounced")
    }
}
