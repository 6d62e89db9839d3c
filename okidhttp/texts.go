package okidhttp

// translated lists the languages that the kit speaks beside English.
var translated = [...]string{"nl", "de", "fr", "es"}

// translations are all texts of the pages, by the English one, in the languages of
// translated.
var translations = map[string][len(translated)]string{
	// Where a verification starts.
	"Verify your identity": {
		"Bevestig uw identiteit",
		"Bestätigen Sie Ihre Identität",
		"Vérifiez votre identité",
		"Verifique su identidad",
	},
	"This part of the site needs to know who you are. It takes about two minutes.": {
		"Voor dit deel van de site moeten we weten wie u bent. Het duurt ongeveer twee minuten.",
		"Für diesen Teil der Website müssen wir wissen, wer Sie sind. Das dauert etwa zwei Minuten.",
		"Pour cette partie du site, nous devons savoir qui vous êtes. Cela prend environ deux minutes.",
		"Para esta parte del sitio necesitamos saber quién es usted. Se tarda unos dos minutos.",
	},
	"Have your passport or identity card at hand.": {
		"Houd uw paspoort of identiteitskaart bij de hand.",
		"Halten Sie Ihren Reisepass oder Personalausweis bereit.",
		"Ayez votre passeport ou votre carte d’identité à portée de main.",
		"Tenga a mano su pasaporte o documento de identidad.",
	},
	"You need a camera; a phone works best.": {
		"U hebt een camera nodig; met een telefoon gaat het het best.",
		"Sie brauchen eine Kamera; am besten geht es mit einem Handy.",
		"Il vous faut un appareil photo ; un téléphone convient le mieux.",
		"Necesita una cámara; lo mejor es un teléfono.",
	},
	"Start verification": {
		"Verificatie starten",
		"Verifizierung starten",
		"Commencer la vérification",
		"Iniciar la verificación",
	},
	"Start another verification": {
		"Nieuwe verificatie starten",
		"Neue Verifizierung starten",
		"Commencer une autre vérification",
		"Iniciar otra verificación",
	},
	"Continue the verification": {
		"Verder met de verificatie",
		"Verifizierung fortsetzen",
		"Continuer la vérification",
		"Continuar la verificación",
	},
	"You have begun a verification, which is not finished. You can go on with it.": {
		"U bent een verificatie begonnen die nog niet is afgerond. U kunt ermee verdergaan.",
		"Sie haben eine Verifizierung begonnen, die noch nicht abgeschlossen ist. Sie können sie fortsetzen.",
		"Vous avez commencé une vérification qui n’est pas terminée. Vous pouvez la continuer.",
		"Ha empezado una verificación que no está terminada. Puede continuarla.",
	},
	"Not verified": {
		"Niet geverifieerd",
		"Nicht verifiziert",
		"Identité non vérifiée",
		"Identidad no verificada",
	},
	"Your last verification did not succeed. You can try again.": {
		"Uw laatste verificatie is niet gelukt. U kunt het opnieuw proberen.",
		"Ihre letzte Verifizierung war nicht erfolgreich. Sie können es noch einmal versuchen.",
		"Votre dernière vérification n’a pas abouti. Vous pouvez réessayer.",
		"Su última verificación no se ha superado. Puede intentarlo de nuevo.",
	},
	"Your last verification was not finished in time. You can try again.": {
		"Uw laatste verificatie is niet op tijd afgerond. U kunt het opnieuw proberen.",
		"Ihre letzte Verifizierung wurde nicht rechtzeitig abgeschlossen. Sie können es noch einmal versuchen.",
		"Votre dernière vérification n’a pas été terminée à temps. Vous pouvez réessayer.",
		"Su última verificación no se terminó a tiempo. Puede intentarlo de nuevo.",
	},
	"Please verify again": {
		"Verifieer u opnieuw",
		"Bitte verifizieren Sie sich erneut",
		"Veuillez refaire la vérification",
		"Vuelva a verificarse",
	},
	"Your verification does not count any more. Please verify again.": {
		"Uw verificatie geldt niet meer. Verifieer u opnieuw.",
		"Ihre Verifizierung gilt nicht mehr. Bitte verifizieren Sie sich erneut.",
		"Votre vérification n’est plus valable. Veuillez la refaire.",
		"Su verificación ya no es válida. Vuelva a verificarse.",
	},
	"Your last verification is being looked at by a person. You do not need to do anything now.": {
		"Uw laatste verificatie wordt door een medewerker bekeken. U hoeft nu niets te doen.",
		"Ihre letzte Verifizierung wird von einem Menschen geprüft. Sie müssen jetzt nichts tun.",
		"Votre dernière vérification est examinée par une personne. Vous n’avez rien à faire pour le moment.",
		"Una persona está revisando su última verificación. Ahora no tiene que hacer nada.",
	},

	// Where the provider's SDK runs.
	"Starting the verification": {
		"De verificatie wordt gestart",
		"Die Verifizierung wird gestartet",
		"Démarrage de la vérification",
		"Iniciando la verificación",
	},
	"One moment, please.": {
		"Een ogenblik geduld.",
		"Einen Moment, bitte.",
		"Un instant, s’il vous plaît.",
		"Un momento, por favor.",
	},
	"The verification opens over this page. If you have closed it, you can go on where you were.": {
		"De verificatie opent boven deze pagina. Hebt u haar gesloten, dan kunt u verdergaan waar u was.",
		"Die Verifizierung öffnet sich über dieser Seite. Falls Sie sie geschlossen haben, können Sie dort weitermachen, wo Sie waren.",
		"La vérification s’ouvre par-dessus cette page. Si vous l’avez fermée, vous pouvez reprendre là où vous en étiez.",
		"La verificación se abre sobre esta página. Si la ha cerrado, puede seguir donde estaba.",
	},
	"This browser gives no access to a camera. If the verification needs one, open this page in Safari, Chrome or Firefox, or on a phone.": {
		"Deze browser geeft geen toegang tot een camera. Als de verificatie er een nodig heeft, open deze pagina dan in Safari, Chrome of Firefox, of op een telefoon.",
		"Dieser Browser gibt keine Kamera frei. Falls die Verifizierung eine braucht, öffnen Sie diese Seite in Safari, Chrome oder Firefox, oder auf einem Handy.",
		"Ce navigateur ne donne pas accès à une caméra. Si la vérification en demande une, ouvrez cette page dans Safari, Chrome ou Firefox, ou sur un téléphone.",
		"Este navegador no da acceso a una cámara. Si la verificación la necesita, abra esta página en Safari, Chrome o Firefox, o en un teléfono.",
	},
	"Open it again": {
		"Opnieuw openen",
		"Wieder öffnen",
		"Rouvrir",
		"Abrir de nuevo",
	},
	"I finished on another device": {
		"Ik ben klaar op een ander apparaat",
		"Ich bin auf einem anderen Gerät fertig",
		"J’ai terminé sur un autre appareil",
		"He terminado en otro dispositivo",
	},
	"The verification does not start": {
		"De verificatie start niet",
		"Die Verifizierung startet nicht",
		"La vérification ne démarre pas",
		"La verificación no se inicia",
	},
	"Something on this device or network may be blocking it, such as a content blocker.": {
		"Misschien houdt iets op dit apparaat of netwerk haar tegen, zoals een advertentieblokkering.",
		"Vielleicht blockiert sie etwas auf diesem Gerät oder in diesem Netz, zum Beispiel ein Werbeblocker.",
		"Quelque chose sur cet appareil ou ce réseau la bloque peut-être, par exemple un bloqueur de contenu.",
		"Puede que algo en este dispositivo o en esta red la esté bloqueando, como un bloqueador de contenido.",
	},
	"If it keeps failing, tell support this code:": {
		"Als het niet lukt, geef dan deze code aan de klantenservice:",
		"Wenn es nicht klappt, nennen Sie dem Support diesen Code:",
		"Si cela échoue encore, indiquez ce code à l’assistance :",
		"Si sigue fallando, indique este código al servicio de asistencia:",
	},
	"Your verification could not be handed over": {
		"Uw verificatie kon niet worden doorgegeven",
		"Ihre Verifizierung konnte nicht übermittelt werden",
		"Votre vérification n’a pas pu être transmise",
		"Su verificación no se ha podido entregar",
	},
	"You are done with your part, but the connection failed.": {
		"Uw deel is klaar, maar de verbinding is mislukt.",
		"Ihr Teil ist erledigt, aber die Verbindung ist fehlgeschlagen.",
		"Vous avez terminé de votre côté, mais la connexion a échoué.",
		"Usted ha terminado su parte, pero la conexión ha fallado.",
	},
	"Send it again": {
		"Opnieuw versturen",
		"Noch einmal senden",
		"Envoyer à nouveau",
		"Enviar de nuevo",
	},
	"The verification needs JavaScript. Please turn it on and load this page again.": {
		"De verificatie heeft JavaScript nodig. Zet het aan en laad deze pagina opnieuw.",
		"Die Verifizierung braucht JavaScript. Bitte schalten Sie es ein und laden Sie diese Seite neu.",
		"La vérification a besoin de JavaScript. Veuillez l’activer et recharger cette page.",
		"La verificación necesita JavaScript. Actívelo y vuelva a cargar esta página.",
	},

	// Where one waits for the verdict.
	"One moment": {
		"Een ogenblik",
		"Einen Moment",
		"Un instant",
		"Un momento",
	},
	"We are waiting for the result of your verification. This page moves on by itself.": {
		"We wachten op de uitslag van uw verificatie. Deze pagina gaat vanzelf verder.",
		"Wir warten auf das Ergebnis Ihrer Verifizierung. Diese Seite geht von selbst weiter.",
		"Nous attendons le résultat de votre vérification. Cette page avance toute seule.",
		"Estamos esperando el resultado de su verificación. Esta página avanza sola.",
	},
	"This takes longer than usual. You can close this page and come back later; nothing is lost. If you did not finish, you can go on where you were.": {
		"Dit duurt langer dan normaal. U kunt deze pagina sluiten en later terugkomen; er gaat niets verloren. Als u niet klaar was, kunt u verdergaan waar u was.",
		"Das dauert länger als sonst. Sie können diese Seite schließen und später wiederkommen; nichts geht verloren. Falls Sie nicht fertig waren, können Sie dort weitermachen, wo Sie waren.",
		"Cela prend plus de temps que d’habitude. Vous pouvez fermer cette page et revenir plus tard ; rien n’est perdu. Si vous n’aviez pas terminé, vous pouvez reprendre là où vous en étiez.",
		"Esto tarda más de lo normal. Puede cerrar esta página y volver más tarde; no se pierde nada. Si no había terminado, puede seguir donde estaba.",
	},
	"If you did not finish, you can go on where you were.": {
		"Als u niet klaar was, kunt u verdergaan waar u was.",
		"Falls Sie nicht fertig waren, können Sie dort weitermachen, wo Sie waren.",
		"Si vous n’aviez pas terminé, vous pouvez reprendre là où vous en étiez.",
		"Si no había terminado, puede seguir donde estaba.",
	},
	"Look again": {
		"Opnieuw kijken",
		"Noch einmal nachsehen",
		"Regarder à nouveau",
		"Mirar de nuevo",
	},
	"A person is having a look": {
		"Een medewerker kijkt ernaar",
		"Ein Mensch sieht es sich an",
		"Une personne l’examine",
		"Una persona lo está revisando",
	},
	"Your verification needs a second pair of eyes. That can take a while; you can close this page and come back later.": {
		"Uw verificatie wordt extra bekeken. Dat kan even duren; u kunt deze pagina sluiten en later terugkomen.",
		"Ihre Verifizierung wird noch einmal geprüft. Das kann eine Weile dauern; Sie können diese Seite schließen und später wiederkommen.",
		"Votre vérification demande un second regard. Cela peut prendre du temps ; vous pouvez fermer cette page et revenir plus tard.",
		"Su verificación necesita una segunda revisión. Puede tardar un poco; puede cerrar esta página y volver más tarde.",
	},

	// Where there is nothing to do, or nothing to see.
	"Already verified": {
		"Al geverifieerd",
		"Bereits verifiziert",
		"Déjà vérifié",
		"Ya verificado",
	},
	"Your identity is verified already. There is nothing more to do.": {
		"Uw identiteit is al geverifieerd. U hoeft niets meer te doen.",
		"Ihre Identität ist bereits verifiziert. Es gibt nichts weiter zu tun.",
		"Votre identité est déjà vérifiée. Il n’y a rien d’autre à faire.",
		"Su identidad ya está verificada. No hay nada más que hacer.",
	},
	"Continue where you began": {
		"Ga verder waar u begon",
		"Machen Sie dort weiter, wo Sie begonnen haben",
		"Continuez là où vous avez commencé",
		"Continúe donde empezó",
	},
	"You can close this page. Go back to the device or window in which you began: it moves on by itself.": {
		"U kunt deze pagina sluiten. Ga terug naar het apparaat of venster waarin u begon: dat gaat vanzelf verder.",
		"Sie können diese Seite schließen. Gehen Sie zurück zu dem Gerät oder Fenster, in dem Sie begonnen haben: dort geht es von selbst weiter.",
		"Vous pouvez fermer cette page. Revenez à l’appareil ou à la fenêtre où vous avez commencé : la suite y vient toute seule.",
		"Puede cerrar esta página. Vuelva al dispositivo o a la ventana donde empezó: allí sigue sola.",
	},
	"Continue here instead": {
		"Toch hier verdergaan",
		"Stattdessen hier weitermachen",
		"Continuer plutôt ici",
		"Continuar aquí de todos modos",
	},
	"Continue": {
		"Verder",
		"Weiter",
		"Continuer",
		"Continuar",
	},
	"Try again": {
		"Opnieuw proberen",
		"Noch einmal versuchen",
		"Réessayer",
		"Intentarlo de nuevo",
	},

	// What can go wrong before somebody's eyes.
	"Not found": {
		"Niet gevonden",
		"Nicht gefunden",
		"Introuvable",
		"No encontrado",
	},
	"There is nothing here, or it is not yours.": {
		"Hier is niets, of het is niet van u.",
		"Hier ist nichts, oder es gehört nicht Ihnen.",
		"Il n’y a rien ici, ou ce n’est pas à vous.",
		"Aquí no hay nada, o no es suyo.",
	},
	"Unknown provider": {
		"Onbekende aanbieder",
		"Unbekannter Anbieter",
		"Prestataire inconnu",
		"Proveedor desconocido",
	},
	"No provider of that name is configured.": {
		"Er is geen aanbieder met die naam ingesteld.",
		"Es ist kein Anbieter dieses Namens eingerichtet.",
		"Aucun prestataire de ce nom n’est configuré.",
		"No hay ningún proveedor configurado con ese nombre.",
	},
	"Please log in": {
		"Log in",
		"Bitte melden Sie sich an",
		"Veuillez vous connecter",
		"Inicie sesión",
	},
	"Log in first, then come back to this page.": {
		"Log eerst in en kom dan terug naar deze pagina.",
		"Melden Sie sich zuerst an und kommen Sie dann auf diese Seite zurück.",
		"Connectez-vous d’abord, puis revenez à cette page.",
		"Inicie sesión primero y vuelva después a esta página.",
	},
	"Not from this site": {
		"Niet van deze site",
		"Nicht von dieser Website",
		"Pas depuis ce site",
		"No desde este sitio",
	},
	"A verification can only be started from the site itself.": {
		"Een verificatie kan alleen vanaf de site zelf worden gestart.",
		"Eine Verifizierung kann nur von der Website selbst aus gestartet werden.",
		"Une vérification ne peut être commencée que depuis le site lui-même.",
		"Una verificación solo se puede iniciar desde el propio sitio.",
	},
	"Cannot be read": {
		"Onleesbaar",
		"Nicht lesbar",
		"Illisible",
		"No se puede leer",
	},
	"The request has a part that cannot be read, or a value that is not allowed.": {
		"Het verzoek bevat iets onleesbaars, of een waarde die niet is toegestaan.",
		"Die Anfrage enthält etwas Unlesbares oder einen Wert, der nicht erlaubt ist.",
		"La demande contient un élément illisible, ou une valeur qui n’est pas permise.",
		"La solicitud tiene una parte que no se puede leer, o un valor no permitido.",
	},
	"Method not allowed": {
		"Methode niet toegestaan",
		"Methode nicht erlaubt",
		"Méthode non autorisée",
		"Método no permitido",
	},
	"Too many attempts": {
		"Te veel pogingen",
		"Zu viele Versuche",
		"Trop d’essais",
		"Demasiados intentos",
	},
	"You have tried too often. Please try again later.": {
		"U hebt het te vaak geprobeerd. Probeer het later opnieuw.",
		"Sie haben es zu oft versucht. Bitte versuchen Sie es später noch einmal.",
		"Vous avez essayé trop souvent. Veuillez réessayer plus tard.",
		"Lo ha intentado demasiadas veces. Inténtelo más tarde.",
	},
	"Verification is not possible": {
		"Verificatie is niet mogelijk",
		"Verifizierung ist nicht möglich",
		"La vérification est impossible",
		"La verificación no es posible",
	},
	"The verification service refused. Please tell the site's owner.": {
		"De verificatiedienst weigerde. Laat het de eigenaar van de site weten.",
		"Der Verifizierungsdienst hat abgelehnt. Bitte sagen Sie dem Betreiber der Website Bescheid.",
		"Le service de vérification a refusé. Veuillez le signaler au responsable du site.",
		"El servicio de verificación lo ha rechazado. Avise al responsable del sitio.",
	},
	"Please try again": {
		"Probeer het opnieuw",
		"Bitte versuchen Sie es noch einmal",
		"Veuillez réessayer",
		"Inténtelo de nuevo",
	},
	"The verification service cannot be reached right now.": {
		"De verificatiedienst is nu niet bereikbaar.",
		"Der Verifizierungsdienst ist gerade nicht erreichbar.",
		"Le service de vérification est injoignable pour le moment.",
		"El servicio de verificación no está accesible en este momento.",
	},
	"This is not available right now.": {
		"Dit is nu niet beschikbaar.",
		"Das ist gerade nicht verfügbar.",
		"Ce n’est pas disponible pour le moment.",
		"Esto no está disponible en este momento.",
	},
	"Something went wrong": {
		"Er ging iets mis",
		"Etwas ist schiefgegangen",
		"Une erreur s’est produite",
		"Algo ha ido mal",
	},
	"This did not work, through no fault of yours.": {
		"Dit is niet gelukt; het ligt niet aan u.",
		"Das hat nicht geklappt; es liegt nicht an Ihnen.",
		"Cela n’a pas marché, et ce n’est pas de votre faute.",
		"No ha funcionado, y no es culpa suya.",
	},
}
