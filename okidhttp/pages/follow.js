// follow calls tell with each status of the attempt, and whether it is final; and
// with "" if it is not the user's any more. It listens, and asks where it cannot.
function follow(url, tell) {
  var source, timer, over = false;
  function hear(status, final) {
    if (over) return;
    over = final || !status;
    if (over) stop();
    tell(status, final);
  }
  function stop() {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  }
  function listen() {
    stop();
    if (over) return;
    if (!window.EventSource) return ask();
    var mine = source = new EventSource(url);
    timer = setTimeout(ask, 1500); // a proxy on the way may hold the stream back
    mine.addEventListener("status", function (event) {
      clearTimeout(timer);
      var body = JSON.parse(event.data);
      hear(body.status, !body.retry_after);
    });
    mine.onerror = function () {
      if (source === mine && mine.readyState === EventSource.CLOSED) ask(); // it was refused
    };
  }
  function ask() {
    stop();
    function again(seconds) {
      clearTimeout(timer);
      if (!over) timer = setTimeout(ask, 1000 * seconds);
    }
    fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin", cache: "no-store" })
      .then(function (response) {
        if (response.status === 401 || response.status === 404) return hear("", false);
        if (!response.ok) return again(Number(response.headers.get("Retry-After")) || 5);
        return response.json().then(function (body) {
          hear(body.status, !body.retry_after);
          again(body.retry_after);
        });
      })
      .catch(function () { again(5); });
  }
  // A phone that was asleep, or offline, has lost its stream without knowing.
  document.addEventListener("visibilitychange", function () { if (!document.hidden) listen(); });
  window.addEventListener("online", listen);
  listen();
}
