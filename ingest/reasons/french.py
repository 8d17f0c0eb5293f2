"""Say in French why a job waits, and what can be done.

The words of the field are those of the Digital Research Alliance of Canada: a job is *une tâche*, a
cluster *une grappe*.

    >>> explain_in_french("BeginTime").sentence
    "L'heure à laquelle la tâche peut commencer n'est pas encore atteinte."
"""

from ingest.reasons.english import LIMIT, THINGS, Explanation, explain, reason_name

_SENTENCES = {
    "Nothing needs to be done: the job starts by itself.": "Il n'y a rien à faire : la tâche"
    " commencera d'elle-même.",
    "Ask for less, or ask an administrator for a higher limit.": "Demandez moins de"
    " ressources, ou demandez une limite plus haute à un administrateur.",
    "Wait until other jobs end, or cancel some of them.": "Attendez que d'autres tâches se"
    " terminent, ou annulez-en certaines.",
    "Ask an administrator.": "Demandez à un administrateur.",
    "Cancel the job and submit it with other options.": "Annulez la tâche et soumettez-la avec"
    " d'autres options.",
    "Slurm has not looked at the job yet.": "Slurm n'a pas encore examiné la tâche.",
    "Jobs with a higher priority wait for the same partition.": "Des tâches plus prioritaires"
    " attendent la même partition.",
    "A shorter time limit or a smaller request can let the job fill a gap.": "Avec une limite de"
    " temps plus courte ou une demande plus petite, la tâche peut s'insérer dans un créneau libre.",
    "The resources that the job asks for are not free.": "Les ressources que la tâche demande ne"
    " sont pas libres.",
    "Slurm starts no job at the moment of its submission here.": "Ici, Slurm ne démarre aucune"
    " tâche au moment où elle est soumise.",
    "The job waits for another job.": "La tâche attend une autre tâche.",
    "The job will never start: a job that it waits for did not end as it should.": "La tâche ne"
    " commencera jamais : une tâche qu'elle attend ne s'est pas terminée comme prévu.",
    "The time at which the job may begin is yet to come.": "L'heure à laquelle la tâche peut"
    " commencer n'est pas encore atteinte.",
    "The owner holds the job.": "Le propriétaire retient la tâche.",
    "Release it: scontrol release JOBID.": "Libérez-la : scontrol release JOBID.",
    "An administrator holds the job.": "Un administrateur retient la tâche.",
    "The job was requeued as often as the cluster allows, and is held.": "La tâche a été remise"
    " dans la file aussi souvent que la grappe le permet, et elle est retenue.",
    "Find out why it failed, then release it: scontrol release JOBID.": "Cherchez pourquoi elle a"
    " échoué, puis libérez-la : scontrol release JOBID.",
    "As many tasks of the array run as the array allows.": "Le vecteur exécute déjà autant de"
    " tâches qu'il le permet.",
    "Raise the limit: scontrol update JobId=JOBID ArrayTaskThrottle=N.": "Augmentez la limite :"
    " scontrol update JobId=JOBID ArrayTaskThrottle=N.",
    "Licenses that the job asks for are in use.": "Des licences que la tâche demande sont"
    " utilisées.",
    "The job waits for its reservation to begin.": "La tâche attend le début de sa réservation.",
    "The reservation that the job asks for was deleted.": "La réservation que la tâche demande a"
    " été supprimée.",
    "The job asks for a reservation that does not exist or that it may not use.": "La tâche demande"
    " une réservation qui n'existe pas, ou qu'elle ne peut pas utiliser.",
    "Nodes that the job needs are down, drained or reserved.": "Des nœuds dont la tâche a besoin"
    " sont en panne, drainés ou réservés.",
    "Wait for these nodes, or ask for no node by its name. A time limit that ends before a "
    "reservation begins lets the job start.": "Attendez ces nœuds, ou ne demandez aucun nœud par"
    " son nom. Une limite de temps qui finit avant une réservation permet à la tâche de commencer.",
    "A node that the job needs is down.": "Un nœud dont la tâche a besoin est en panne.",
    "No front end is up.": "Aucun nœud frontal ne fonctionne.",
    "The partition is down.": "La partition est arrêtée.",
    "Wait, or use another partition.": "Attendez, ou utilisez une autre partition.",
    "The partition takes no jobs.": "La partition n'accepte pas de tâches.",
    "Use another partition.": "Utilisez une autre partition.",
    "The job asks for more or fewer nodes than the partition allows.": "La tâche demande plus ou"
    " moins de nœuds que la partition n'en permet.",
    "Ask for another number of nodes, or use another partition.": "Demandez un autre nombre de"
    " nœuds, ou utilisez une autre partition.",
    "The time limit of the job is longer than the partition allows.": "La limite de temps de la"
    " tâche dépasse celle de la partition.",
    "Lower the time limit, or use another partition.": "Réduisez la limite de temps, ou utilisez"
    " une autre partition.",
    "The partition does not allow what the job asks for.": "La partition ne permet pas ce que la"
    " tâche demande.",
    "The partition or the QOS does not allow the account of the job.": "La partition ou le QOS"
    " n'autorise pas le compte de la tâche.",
    "Use another account or another partition.": "Utilisez un autre compte ou une autre partition.",
    "The partition or the account does not allow the QOS of the job.": "La partition ou le compte"
    " n'autorise pas le QOS de la tâche.",
    "Use another QOS or another partition.": "Utilisez un autre QOS ou une autre partition.",
    "The account of the job is not valid.": "Le compte de la tâche n'est pas valide.",
    "Use another account.": "Utilisez un autre compte.",
    "The QOS of the job is not valid.": "Le QOS de la tâche n'est pas valide.",
    "Use another QOS.": "Utilisez un autre QOS.",
    "The usage of the account or the user is above the threshold of the QOS.": "L'utilisation du"
    " compte ou de l'utilisateur dépasse le seuil du QOS.",
    "Wait until the usage decays, or use another QOS.": "Attendez que l'utilisation décroisse, ou"
    " utilisez un autre QOS.",
    "A limit of the accounting holds the job back.": "Une limite de la comptabilité retient la"
    " tâche.",
    "The account has as many jobs as it may have.": "Le compte a autant de tâches qu'il peut en"
    " avoir.",
    "The account holds as much as it may hold.": "Le compte occupe autant qu'il peut occuper.",
    "The account has used up its time.": "Le compte a épuisé son temps.",
    "The QOS has as many jobs as it may have.": "Le QOS a autant de tâches qu'il peut en avoir.",
    "The jobs of the QOS hold as much as they may hold.": "Les tâches du QOS occupent autant"
    " qu'elles peuvent occuper.",
    "The QOS has used up its time.": "Le QOS a épuisé son temps.",
    "The job asks for fewer CPUs than the QOS demands.": "La tâche demande moins de CPU que le QOS"
    " n'en exige.",
    "The job asks for more memory than a CPU or a node of the partition may give.": "La tâche"
    " demande plus de mémoire qu'un CPU ou un nœud de la partition ne peut en donner.",
    "Ask for less memory, or for more CPUs.": "Demandez moins de mémoire, ou plus de CPU.",
    "No node of the partition can ever give what the job asks for.": "Aucun nœud de la partition ne"
    " peut donner ce que la tâche demande.",
    "No node that has the asked features is free.": "Aucun nœud qui a les caractéristiques"
    " demandées n'est libre.",
    "The job can no longer end before its deadline.": "La tâche ne peut plus finir avant son"
    " échéance.",
    "An operation of the burst buffer failed.": "Une opération du tampon de rafale a échoué.",
    "The burst buffer has not enough room.": "Le tampon de rafale n'a pas assez de place.",
    "The burst buffer copies the files that the job needs.": "Le tampon de rafale copie les"
    " fichiers dont la tâche a besoin.",
    "The job was requeued, and its last run is still cleaned up.": "La tâche a été remise dans la"
    " file, et le nettoyage de sa dernière exécution n'est pas terminé.",
    "The prolog runs.": "Le prologue s'exécute.",
    "The clusters of the federation agree on where the job runs.": "Les grappes de la fédération"
    " décident où la tâche s'exécute.",
    "As many nodes are powered up as the cluster allows.": "La grappe allume déjà autant de"
    " nœuds qu'elle le permet.",
    "The cluster has not enough electric power for the job.": "La grappe n'a pas assez de puissance"
    " électrique pour la tâche.",
    "The electric power that the job needs is reserved.": "La puissance électrique dont la tâche a"
    " besoin est réservée.",
    "The ports for MPI are in use on the nodes.": "Les ports pour MPI sont utilisés sur les nœuds.",
    "No channel of NVIDIA IMEX is free.": "Aucun canal de NVIDIA IMEX n'est libre.",
    "A block of the machine is being freed.": "Un bloc de la machine est en cours de libération.",
    "Too many blocks of the machine have errors.": "Trop de blocs de la machine ont des erreurs.",
    "Slurm or a node failed.": "Slurm ou un nœud a eu une panne.",
    "The job could not be launched.": "La tâche n'a pas pu être lancée.",
    "The last run of the job failed.": "La dernière exécution de la tâche a échoué.",
    "Read the output of the job.": "Lisez la sortie de la tâche.",
    "A signal ended the last run of the job.": "Un signal a terminé la dernière exécution de la"
    " tâche.",
    "The last run of the job ran out of memory.": "La dernière exécution de la tâche a manqué de"
    " mémoire.",
    "Ask for more memory.": "Demandez plus de mémoire.",
    "The last run of the job reached its time limit.": "La dernière exécution de la tâche a atteint"
    " sa limite de temps.",
    "Raise the time limit.": "Augmentez la limite de temps.",
    "The job was inactive for as long as the cluster allows.": "La tâche a été inactive aussi"
    " longtemps que la grappe le permet.",
}

_THINGS = {
    "CPUs": "CPU",
    "memory": "mémoire",
    "GPUs or other generic resources": "GPU ou autres ressources génériques",
    "nodes": "nœuds",
    "room in the burst buffer": "place dans le tampon de rafale",
    "billing units": "unités de facturation",
    "energy": "énergie",
    "licenses": "licences",
    "units of a resource": "unités d'une ressource",
    "running jobs": "tâches en exécution",
    "jobs": "tâches",
    "running time": "temps d'exécution",
}
_OWNERS = {
    "AssocGrp": "l'association (compte et utilisateur) dans son ensemble",
    "AssocMax": "l'association (compte et utilisateur)",
    "QOSGrp": "le QOS pour toutes ses tâches",
    "QOSMax": "le QOS",
    "QOSMin": "le QOS",
    "Max": "le QOS ou le compte",
}
_FOR_ONE = {
    "PerJob": "La tâche demande plus que {owner} ne permet à une tâche : {what}.",
    "PerNode": "La tâche demande plus que {owner} ne permet à une tâche sur un nœud : {what}.",
    "PerUser": "Les tâches de cet utilisateur occupent tout ce que {owner} permet à un"
    " utilisateur : {what}.",
    "PerAccount": "Les tâches de ce compte occupent tout ce que {owner} permet à un compte :"
    " {what}.",
}


def explain_in_french(reason: str | None) -> Explanation:
    """Return the words for a job's ``reason``; Slurm's own text if it is no name."""
    sentence, remedy = explain(reason)
    limit = LIMIT.fullmatch(reason_name(reason))
    if sentence in _SENTENCES:
        sentence = _SENTENCES[sentence]
    elif limit is not None:
        sentence = _of_limit(*limit.group("whose", "thing", "time", "per"))
    else:
        sentence = sentence.replace("Slurm says:", "Slurm indique :", 1)
    return Explanation(sentence, _SENTENCES[remedy])


def _of_limit(whose: str, thing: str, time: str | None, per: str | None) -> str:
    what = _THINGS[THINGS[thing.lower()]] + (", en minutes" if time else "")
    owner = _OWNERS[whose]
    if whose == "QOSMin":
        return f"La tâche demande moins que le QOS n'exige : {what}."
    if per in {"PerJob", "PerNode"} or (per and thing != "WallDuration"):
        return _FOR_ONE[per].format(owner=owner, what=what)
    if thing == "WallDuration":
        return f"La limite de temps est plus longue que {owner} ne permet."
    return f"Avec cette tâche, l'utilisation dépasserait ce que {owner} permet : {what}."
