// Routes that are open only at times: by an operator's word, by the clock, over a restart.

import Foundation
import Testing

private func ship(_ stage: Stage, _ more: String = "") -> String {
    """
    [[route]]
    name = "ship"
    domains = ["ship.test"]
    hosts = ["\(stage.address(11)):\(Stage.mailPort)"]
    on_demand = true
    \(more)
    """
}

@Test func `mail for a closed route waits, says why, and goes when an operator opens it`()
    async throws
{
    try await story(starts: false) { stage in
        stage.more = ship(stage)
        let host = try stage.peer(11)
        let others = try stage.host()
        try stage.start()
        let id = try stage.submit(to: "bob@ship.test", "carol@example.test")
        #expect(try others.mail(1)[0].recipients == ["carol@example.test"])
        #expect(try stage.outcome("deferred", of: id)["because"] == "route-closed")
        let shown = try stage.ask("queue", "show", id)
        #expect(shown.contains("ekiden queue retry --route ship"), "\(shown)")
        try stage.restart()
        #expect(host.accepted.isEmpty)
        let answer = try stage.ask("queue", "retry", "--route", "ship")
        #expect(answer.contains("1 message will be tried now; route ship is open until"))
        #expect(try host.mail(1)[0].recipients == ["bob@ship.test"])
        // It is open for a while, for what comes now, too.
        try stage.submit(to: "dave@ship.test")
        #expect(try host.mail(2)[1].recipients == ["dave@ship.test"])
    }
}

@Test func `a route is open at its times, and from a reload that opens it`() async throws {
    try await story(starts: false) { stage in
        stage.more = ship(stage, "schedule = [\"00:00-24:00\"]")
        let host = try stage.peer(11)
        try stage.start()
        try stage.submit(to: "bob@ship.test")
        try host.mail(1)
        // A minute of the day before yesterday and none else.
        let day = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][
            (Calendar.current.component(.weekday, from: Date()) + 4) % 7
        ]
        stage.more = ship(stage, "schedule = [\"\(day) 12:00-12:01\"]")
        try stage.reload()
        let id = try stage.submit(to: "carol@ship.test")
        let closed = try stage.outcome("deferred", of: id)
        #expect(closed["because"] == "route-closed")
        #expect(closed["reply"].contains(" 12:00 local time"), "\(closed)")
        stage.more = ship(stage).replacingOccurrences(of: "on_demand = true", with: "")
        try stage.reload()
        #expect(try host.mail(2)[1].recipients == ["carol@ship.test"])
    }
}

@Test func `a route that nobody knows can't be opened`() async throws {
    try await story { stage in
        let answer = try stage.ask("queue", "retry", "--route", "shp", ending: 4)
        #expect(answer.contains("no route is called shp"))
    }
}
