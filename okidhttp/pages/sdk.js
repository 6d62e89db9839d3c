(function () {
  "use strict";
  {{template "follow.js"}}
  var sdk = {{.SDK}}, boot = {{.Boot}};
  var claimURL = {{.ClaimURL}}, successURL = {{.SuccessURL}}, errorURL = {{.ErrorURL}};
  var begun = false, sending = false, left = false;
  function show(state) {
    document.querySelectorAll("[data-when]").forEach(function (each) { each.hidden = each.dataset.when !== state; });
  }
  function leave(url) {
    if (left) return;
    left = true;
    location.assign(url);
  }
  // What the provider gave to the page goes to the site, three times if need be.
  function complete(claim) {
    if (!claimURL) return leave(successURL);
    if (left || sending) return;
    sending = true;
    show("wait");
    var body = JSON.stringify(claim), tries = 0;
    function unsent() {
      if (++tries < 3) return setTimeout(send, 1000 * tries);
      sending = false;
      document.querySelectorAll("[data-resend]").forEach(function (each) { each.onclick = function () { complete(claim); }; });
      show("unsent");
    }
    function send() {
      fetch(claimURL, { method: "POST", body: body, headers: { "Content-Type": "application/json", Accept: "application/json" }, credentials: "same-origin" })
        .then(function (response) {
          if (response.ok) return leave(successURL);
          if (response.status < 500) tries = 2; // it was refused: by itself nothing will change
          unsent();
        })
        .catch(unsent);
    }
    send();
  }
  function trouble() { if (!begun && !left) show("trouble"); }
  show("wait");
  if (!navigator.mediaDevices) document.querySelectorAll("[data-without-camera]").forEach(function (each) { each.hidden = false; });
  // The user may finish on another device.
  follow({{.StatusURL}}, function (status, final) {
    if (final || status === "review") leave(successURL);
  });
  // Who comes back by the browser's own means finds the page as it was left.
  window.addEventListener("pageshow", function (event) { if (event.persisted) location.reload(); });
  setTimeout(trouble, 9000);
  var script = document.createElement("script");
  script.onerror = trouble;
  script.onload = function () {
    if (begun) return;
    var broken = false;
    try {
      // An error before boot has returned is the script's, not the user's.
      boot(sdk.config, complete, function () { if (begun) leave(errorURL); else broken = true; });
    } catch (e) {
      broken = true;
    }
    if (broken) return trouble();
    begun = true;
    show("open");
  };
  script.src = sdk.script_url;
  document.head.appendChild(script);
})();
