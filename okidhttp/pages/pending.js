(function () {
  "use strict";
  function next() { location.replace({{.NextURL}}); }
  import({{.ClientURL}}).then(function (client) {
    client.follow({{.Attempt}}, function (status, over) {
      if (over || status === "review" && !{{.Review}}) next();
    });
  }).catch(function () { setTimeout(next, 5000); });
  setTimeout(function () {
    var slow = document.getElementById("slow");
    if (slow) slow.hidden = false;
  }, 10000);
})();
